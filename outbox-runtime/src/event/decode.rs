//! Decoding of a row's metadata, whatever version wrote it.

use super::OutboxEvent;
use crate::entity::OutboxEntity;
use crate::metadata::{DecodeError, OlderMetadata, RawMetadata, ReadVersion, Sight, UpcastTo};

/// Decodes the metadata of a row that is known to belong to this entity. The row is not consumed,
/// so that the caller can make it a dead letter.
///
/// # Errors
///
/// [`DecodeError`] if the metadata is missing, damaged, of another shape or of a version that this
/// program does not read.
pub(crate) fn decode<E: OutboxEntity>(record: &OutboxEvent) -> Result<E::Metadata, DecodeError> {
    let event_type = || record.event_type.clone();
    let raw = record
        .metadata
        .as_ref()
        .ok_or_else(|| DecodeError::Missing {
            event_type: event_type(),
        })?;
    let (found, known) = (record.metadata_version, E::OPTIONS.metadata_version());
    let read = if found == known {
        raw.decode()
    } else if found > known {
        return Err(DecodeError::NewerVersion {
            event_type: event_type(),
            found,
            known,
        });
    } else {
        E::upcast(found, Upcasting(raw)).ok_or_else(|| DecodeError::UnknownVersion {
            event_type: event_type(),
            found,
        })?
    };
    read.map_err(|error| {
        let sight = Sight::of::<E::Metadata>(E::SENSITIVE);
        DecodeError::metadata(&record.event_type, raw, &error, sight)
    })
}

/// Reads a row as its version's type and upcasts it to the newest.
struct Upcasting<'a>(&'a RawMetadata);

impl<M> ReadVersion<M> for Upcasting<'_> {
    type Output = Result<M, serde_json::Error>;

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output {
        self.0.decode::<T>().map(T::upcast)
    }
}

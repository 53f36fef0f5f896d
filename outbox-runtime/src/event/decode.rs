//! From a row to typed metadata: the only way, whatever version wrote it.

use super::OutboxEvent;
use crate::entity::OutboxEntity;
use crate::metadata::{DecodeError, OlderMetadata, RawMetadata, ReadVersion, Sight, UpcastTo};

/// Reads the metadata of a row that is known to be of this entity, and leaves the row to be
/// dead-lettered if need be.
///
/// # Errors
///
/// [`DecodeError`] where it is missing, damaged, of another shape or of a version that this program does not read.
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

/// Reads a row as what its version was, and makes the newest of it.
struct Upcasting<'a>(&'a RawMetadata);

impl<M> ReadVersion<M> for Upcasting<'_> {
    type Output = Result<M, serde_json::Error>;

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output {
        self.0.decode::<T>().map(T::upcast)
    }
}

//! The JSON of an entity whose form serde's derives decide about.

use crate::entity::OutboxEntity;
use crate::metadata::{Finite, RawMetadata};

/// Writes an entity that is its own metadata.
///
/// That it can be written is known by the bound of `OutboxEntity::Metadata`, so that a type for which that bound does
/// not hold is refused there and not here as well.
pub fn snapshot<E: OutboxEntity>(entity: &E::Metadata) -> Result<RawMetadata, serde_json::Error> {
    RawMetadata::encode(entity)
}

/// Writes JSON with a function that serializes, such as the one that serde derives for a remote type.
pub fn encode(
    write: impl FnOnce(
        Finite<'_, &mut serde_json::Serializer<&mut Vec<u8>>>,
    ) -> Result<(), serde_json::Error>,
) -> Result<RawMetadata, serde_json::Error> {
    RawMetadata::write(write)
}

//! Serialization of entities that use serde's derives.

use crate::entity::OutboxEntity;
use crate::metadata::{Finite, RawMetadata};

/// Serializes an entity that is its own metadata.
///
/// The bound is that of `OutboxEntity::Metadata`, so that a type that violates it is reported there
/// only.
pub fn snapshot<E: OutboxEntity>(entity: &E::Metadata) -> Result<RawMetadata, serde_json::Error> {
    RawMetadata::encode(entity)
}

/// Serializes JSON with a function, such as the one that serde derives for a remote type.
pub fn encode(
    write: impl FnOnce(
        Finite<'_, &mut serde_json::Serializer<&mut Vec<u8>>>,
    ) -> Result<(), serde_json::Error>,
) -> Result<RawMetadata, serde_json::Error> {
    RawMetadata::write(write)
}

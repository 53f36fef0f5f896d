//! The type of an entity's ids, shown to tools such as the wire lock.

use serde::de::DeserializeOwned;

/// What [`OutboxEntity::inspect_id_type`](crate::OutboxEntity::inspect_id_type) shows the type of an entity's ids to.
pub trait InspectIdType {
    /// What comes of it.
    type Output;

    /// The ids are of a type that serde reads.
    fn readable<T: DeserializeOwned + 'static>(self) -> Self::Output;

    /// The ids are of a type that serde does not read.
    fn opaque<T: 'static>(self) -> Self::Output;

    /// The entity does not tell.
    fn unknown(self) -> Self::Output;
}

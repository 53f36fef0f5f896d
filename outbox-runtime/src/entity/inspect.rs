//! Inspection of an entity's id type, for tools such as the wire lock.

use serde::de::DeserializeOwned;

/// A visitor for the type of an entity's ids: see
/// [`OutboxEntity::inspect_id_type`](crate::OutboxEntity::inspect_id_type).
pub trait InspectIdType {
    /// The result of the inspection.
    type Output;

    /// The id type is deserializable with serde.
    fn readable<T: DeserializeOwned + 'static>(self) -> Self::Output;

    /// The id type is not deserializable with serde.
    fn opaque<T: 'static>(self) -> Self::Output;

    /// The entity does not reveal its id type.
    fn unknown(self) -> Self::Output;
}

//! What a deletion deletes together, and deletions that are not delivered yet.

use crate::entity::EntityId;

/// The unit that [`delete_seen`](crate::OutboxRepository::delete_seen) deletes or keeps as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeleteUnit {
    /// Each event on its own.
    Event,
    /// The undelivered events that wait for each other: those of an entity of a user, or of a user
    /// ([`Order`](crate::Order)).
    Lane,
}

/// An entity whose deletion is not delivered yet; see
/// [`pending_deletes`](crate::OutboxRepository::pending_deletes).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PendingDelete {
    /// The user that the entity belonged to.
    pub user_id: String,
    /// The event type of the deletion.
    pub event_type: String,
    /// The deleted entity.
    pub entity_id: EntityId,
}

impl PendingDelete {
    /// Used by stores.
    #[must_use]
    pub fn new(user_id: String, event_type: String, entity_id: EntityId) -> Self {
        Self {
            user_id,
            event_type,
            entity_id,
        }
    }
}

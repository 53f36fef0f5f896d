//! What a deletion deletes together, and deletions that are not delivered yet.

use super::OutboxRepository;
use crate::entity::{EntityId, Order};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};

/// The unit that [`OutboxRepository::delete_seen`] deletes or keeps as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeleteUnit {
    /// Each event on its own.
    Event,
    /// The undelivered events that wait for each other: those of an entity of a user, or of a user
    /// ([`Order`]).
    Lane,
}

/// Whether every undelivered event that may be in the lane of this one is unchanged since it was
/// seen.
pub(super) async fn lane_was_seen<R: OutboxRepository + ?Sized>(
    repository: &R,
    event: &OutboxEvent,
    seen: &[OutboxEvent],
) -> Result<bool, StoreError> {
    let user_id = Some(event.user_id.as_str());
    for status in OutboxStatus::ALL {
        if *status == OutboxStatus::Completed {
            continue;
        }
        let mut there = repository.fetch_events(*status, user_id, None).await?;
        there.retain(|other| {
            other.is_open()
                && other.order == event.order
                && (event.order == Order::User || other.entity_id == event.entity_id)
        });
        if there.iter().any(|other| !seen.contains(other)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An entity whose deletion is not delivered yet; see [`OutboxRepository::pending_deletes`].
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

//! What became of an event that was enqueued.

use uuid::Uuid;

/// The result of enqueueing an event successfully.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
/// use outbox_runtime::{Enqueued, OnSameKey};
///
/// let first = goal.enqueue_update().key("title").on(&store).await?;
/// assert!(matches!(first, Enqueued::New(_)));
///
/// let second = goal.enqueue_update().key("title").on_same_key(OnSameKey::Keep).on(&store).await?;
/// assert!(matches!(second, Enqueued::Kept { .. }));
/// assert_eq!(second.carried_by(), first.event_id());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Enqueued {
    /// The event was written.
    New(Uuid),
    /// The same event was already stored; nothing was written.
    AlreadyThere(Uuid),
    /// An unclaimed event about the same entity carries the change now:
    /// [`Coalesce::Latest`](crate::Coalesce). The delivery uses that event's id as its idempotency
    /// key.
    Folded {
        /// The event that was enqueued.
        event_id: Uuid,
        /// The event that carries it.
        into: Uuid,
    },
    /// The event has a [key](crate::Enqueue::key), and took the place of an unclaimed event with
    /// the same key, which is gone and never sent.
    Replaced {
        /// The event that was enqueued.
        event_id: Uuid,
        /// The event that it replaced; the newest, if there were several.
        replaced: Uuid,
    },
    /// The event has a [key](crate::Enqueue::key) and was not enqueued, because an unclaimed event
    /// has the same key: [`OnSameKey::Keep`](crate::OnSameKey::Keep).
    Kept {
        /// The event that was not enqueued.
        event_id: Uuid,
        /// The event that is waiting.
        kept: Uuid,
    },
    /// The event deletes an entity whose creation was never claimed. Neither is sent: the remote
    /// service never knew the entity.
    Cancelled {
        /// The delete that was enqueued.
        event_id: Uuid,
        /// The creation, which now counts as completed.
        create: Uuid,
    },
}

impl Enqueued {
    /// The id of the event that was enqueued.
    #[must_use]
    pub fn event_id(self) -> Uuid {
        match self {
            Self::New(event_id)
            | Self::AlreadyThere(event_id)
            | Self::Folded { event_id, .. }
            | Self::Replaced { event_id, .. }
            | Self::Kept { event_id, .. }
            | Self::Cancelled { event_id, .. } => event_id,
        }
    }

    /// The id of the stored event that carries the change: its own, unless it was folded into
    /// another event or canceled a creation, or another event with its key was kept.
    #[must_use]
    pub fn carried_by(self) -> Uuid {
        match self {
            Self::New(event_id)
            | Self::AlreadyThere(event_id)
            | Self::Replaced { event_id, .. } => event_id,
            Self::Kept { kept, .. } => kept,
            Self::Folded { into, .. } => into,
            Self::Cancelled { create, .. } => create,
        }
    }
}

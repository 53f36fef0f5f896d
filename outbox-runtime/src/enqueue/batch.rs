//! Many changes at once: all of them are enqueued, or none.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::{Enqueue, NewEvent};
use crate::entity::OutboxEntity;
use crate::error::EnqueueError;
use crate::event::Operation;

/// Enqueues an event for each of these entities, in their order: all of them, or none.
///
/// On a store that is one commit; in a transaction of the caller's it is several times as fast as one call for each.
/// Nothing is stored before [`on`](EnqueueAll::on).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::enqueue_all;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let goals: Vec<Goal> = (1..=1_000).map(|id| Goal { id, user_id: "user-1".into() }).collect();
/// enqueue_all(&goals).on(&store).await?;
/// assert_eq!(store.statistics(None).await?.pending_count, 1_000);
///
/// enqueue_all(&goals[..10]).operation(Operation::Delete).priority(9).on(&store).await?;
/// # Ok(())
/// # }
/// ```
///
/// With the entities themselves, in one transaction of the application's own database:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{enqueue_all, rusqlite};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// # fn save(tx: &rusqlite::Transaction<'_>, goals: &[Goal]) -> rusqlite::Result<()> { Ok(()) }
/// # fn import(conn: &mut rusqlite::Connection, goals: &[Goal]) -> Result<(), Box<dyn std::error::Error>> {
/// let tx = conn.transaction()?;
/// save(&tx, goals)?;
/// enqueue_all(goals).on(&tx)?;
/// tx.commit()?;
/// # Ok(())
/// # }
/// ```
pub fn enqueue_all<E: OutboxEntity>(entities: &[E]) -> EnqueueAll<'_, E> {
    EnqueueAll {
        entities,
        operation: Operation::Create,
        priority: None,
        delay: Duration::ZERO,
        destination: None,
        event_id: None,
    }
}

/// Changes that are about to be enqueued together; made by [`enqueue_all`].
#[must_use = "nothing is enqueued until you call `.on(..)`"]
pub struct EnqueueAll<'e, E> {
    entities: &'e [E],
    operation: Operation,
    priority: Option<i32>,
    delay: Duration,
    destination: Option<String>,
    event_id: Option<EventIds<'e, E>>,
}

type EventIds<'e, E> = Box<dyn Fn(&E) -> Uuid + 'e>;

impl<'e, E: OutboxEntity> EnqueueAll<'e, E> {
    /// What happened to the entities. Default: [`Operation::Create`].
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }

    /// Higher goes first, among entities. Default: the entity type's `priority`.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// How long to wait before the first attempts. Default: not at all.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Where they are delivered to: see [`NewEvent::with_destination`]. Default: what each entity's `destination` says.
    pub fn destination(mut self, destination: impl Into<String>) -> Self {
        self.destination = Some(destination.into());
        self
    }

    /// Which id the event of an entity has: see [`Enqueue::with_event_id`]. Default: a new one for each.
    pub fn with_event_id(mut self, event_id: impl Fn(&E) -> Uuid + 'e) -> Self {
        self.event_id = Some(Box::new(event_id));
        self
    }

    /// Writes the events to `sink`.
    ///
    /// On a store this is a future that resolves once they are committed, all in one transaction. On a `rusqlite`
    /// connection, transaction or savepoint it is done when the call returns; there, too, an error leaves none of them.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::InBatch`] names the first entity whose event could not be enqueued, by its index.
    pub fn on<S: BatchSink<Driver>, Driver>(self, sink: S) -> S::Output {
        sink.enqueue_all(self.entities.iter().map(|entity| {
            let mut change = Enqueue::new(entity, self.operation).delay(self.delay);
            if let Some(priority) = self.priority {
                change = change.priority(priority);
            }
            if let Some(destination) = &self.destination {
                change = change.destination(destination);
            }
            if let Some(event_id) = &self.event_id {
                change = change.with_event_id(event_id(entity));
            }
            change.into_event()
        }))
    }
}

impl<E: OutboxEntity> fmt::Debug for EnqueueAll<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueAll")
            .field("event_type", &E::EVENT_TYPE)
            .field("entities", &self.entities.len())
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// What many events can be written to at once: what an [`EventSink`](crate::EventSink) is for one, its `Driver` included.
///
/// An implementation writes all of the events or none, and says with [`EnqueueError::at`] which of them it was that could not
/// be written. It takes them one by one, so that they need not be in memory together.
#[diagnostic::on_unimplemented(
    message = "events cannot be enqueued on `{Self}`",
    label = "not a store and not a connection that takes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint"
)]
pub trait BatchSink<Driver> {
    /// `Result<_, EnqueueError>`, or a future of one.
    type Output;

    /// Writes the events in their order, or passes on why one of them could not be made.
    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output;
}

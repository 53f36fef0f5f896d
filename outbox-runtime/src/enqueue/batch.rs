//! Batches: many changes are enqueued together, or none is.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::{Enqueue, NewEvent};
use crate::entity::{AsUserId, OutboxEntity, WithoutUser};
use crate::error::EnqueueError;
use crate::event::Operation;
use crate::headers::Headers;
use crate::trace::{self, TraceContext};

/// Enqueues one event per entity, in the order given: all of them, or none.
///
/// On a store, this is one commit. In a transaction of the caller it is several times as fast as
/// one call per entity. Nothing is stored before [`on`](EnqueueAll::on) is called.
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
/// Together with the entities, in one transaction of the application's own database:
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
        trace_context: trace::current(),
        headers: Headers::new(),
        event_id: None,
        user_id: None,
    }
}

/// A batch of changes that is not enqueued yet; made by [`enqueue_all`].
#[must_use = "nothing is enqueued until you call `.on(..)`"]
pub struct EnqueueAll<'e, E> {
    entities: &'e [E],
    operation: Operation,
    priority: Option<i32>,
    delay: Duration,
    destination: Option<String>,
    trace_context: Option<TraceContext>,
    headers: Headers,
    event_id: Option<EventIds<'e, E>>,
    user_id: Option<String>,
}

type EventIds<'e, E> = Box<dyn Fn(&E) -> Uuid + 'e>;

impl<'e, E: OutboxEntity> EnqueueAll<'e, E> {
    /// The operation of every event. Default: [`Operation::Create`].
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }

    /// Sets the priority: higher values are delivered first, across entities. Default: the
    /// `priority` of the entity type.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the delay before the first attempts. Default: none.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the destination: see [`NewEvent::with_destination`]. Default: the `destination` of each
    /// entity.
    pub fn destination(mut self, destination: impl Into<String>) -> Self {
        self.destination = Some(destination.into());
        self
    }

    /// Sets the trace context of every event: see [`Enqueue::trace_context`]. Default: that of the
    /// span in which the batch is made.
    pub fn trace_context(mut self, context: impl Into<Option<TraceContext>>) -> Self {
        self.trace_context = context.into();
        self
    }

    /// Sets a header of every event: see [`Enqueue::header`]. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Sets a header of every event whose value tools hide: see [`Enqueue::sensitive_header`].
    /// Default: none.
    pub fn sensitive_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set_sensitive(name, value);
        self
    }

    /// Sets how the event id of an entity is chosen: see [`Enqueue::with_event_id`]. Default: a new
    /// id for each event.
    pub fn with_event_id(mut self, event_id: impl Fn(&E) -> Uuid + 'e) -> Self {
        self.event_id = Some(Box::new(event_id));
        self
    }

    /// Sets whose changes they are, for entities without `#[outbox(user_id)]`: see
    /// [`Enqueue::for_user`]. Without it, enqueueing such entities is an error,
    /// [`EnqueueError::Invalid`].
    pub fn for_user(mut self, user_id: impl AsUserId) -> Self
    where
        E: WithoutUser,
    {
        self.user_id = Some(user_id.as_user_id().into_owned());
        self
    }

    /// Writes the events to `sink`.
    ///
    /// On a store, this returns a future that resolves once all events are committed in one
    /// transaction. On a `rusqlite` connection, transaction or savepoint, the events are written
    /// when the call returns; there, too, an error leaves none of them behind.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::InBatch`] names, by its index, the first entity whose event could not be
    /// enqueued.
    pub fn on<S: BatchSink<Driver>, Driver>(self, sink: S) -> S::Output {
        sink.enqueue_all(self.entities.iter().map(|entity| {
            let context = self.trace_context.clone();
            let change = Enqueue::within(context, entity, self.operation);
            let mut change = change.delay(self.delay);
            if let Some(priority) = self.priority {
                change = change.priority(priority);
            }
            if let Some(destination) = &self.destination {
                change = change.destination(destination);
            }
            if let Some(event_id) = &self.event_id {
                change = change.with_event_id(event_id(entity));
            }
            if !self.headers.is_empty() {
                change.event = change.event.with_headers(self.headers.clone());
            }
            if let Some(user_id) = &self.user_id {
                change.event.user_id.clone_from(user_id);
            }
            change.into_event().inspect(super::count)
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

/// A sink for many events at once: the counterpart of [`EventSink`](crate::EventSink), with the
/// same `Driver` parameter.
///
/// An implementation writes all of the events or none, and reports with [`EnqueueError::at`] which
/// event could not be written. It takes the events one at a time, so they need not be in memory
/// together.
#[diagnostic::on_unimplemented(
    message = "events cannot be enqueued on `{Self}`",
    label = "not a store and not a connection that takes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint",
    note = "a connection of sqlx or diesel is passed as `&mut tx`, and takes events once the program names the package for it: `use outbox_sqlx as _;`, or `use outbox_diesel as _;`"
)]
pub trait BatchSink<Driver> {
    /// `Result<_, EnqueueError>`, or a future of one.
    type Output;

    /// Writes the events in order, or returns the error of the first that could not be made.
    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output;
}

//! Enqueueing: a change on its way into a transaction.

use std::marker::PhantomData;
use std::time::Duration;

use uuid::Uuid;

use crate::entity::OutboxEntity;
use crate::error::EnqueueError;
use crate::event::Operation;
use crate::metadata;
use crate::meter;
use crate::redaction::Sensitive;
use crate::trace::{self, TraceContext};

mod batch; // many changes in one call
mod content; // equality of events with the same id
mod enqueued; // what became of an event
mod extras; // keys, expiry, headers and parents
mod fold; // merging an event into an unclaimed one
mod for_user; // the user that a call gives to a change
mod headed; // headers of new events
mod new_event; // events that are not in a store yet
mod readable; // whether metadata can be read back
#[cfg(feature = "sqlite")]
mod returned; // refusals that a closure returns as its value
mod rules; // the rules of a row
mod sink; // what accepts events
mod special; // making events with a key or parents, or that expire
mod user; // whether the user of a change is known

pub use self::batch::{BatchSink, EnqueueAll, enqueue_all};
pub use self::enqueued::Enqueued;
pub use self::extras::{Expiry, OnSameKey};
pub use self::new_event::NewEvent;
#[cfg(feature = "sqlite")]
pub(crate) use self::returned::unless_refused;
pub(crate) use self::rules::{key_fault, size_fault};
pub use self::sink::EventSink;
pub use self::user::{AnyUser, HasUser, KnownUser, TakesUser, UserFromCall};

/// A change that is not enqueued yet; made by `enqueue_create()`, `enqueue_update()` and
/// `enqueue_delete()`.
///
/// `enqueue_sync()` is another name for `enqueue_create()`: both announce a new entity,
/// [`Operation::Create`]. For an entity that the service may already have, use `enqueue_update()`.
///
/// The metadata is already serialized as JSON, so this value does not borrow the entity. Nothing is
/// stored before [`on`](Enqueue::on) is called.
///
/// `User` tells the compiler whether the user of the change is known. It is, unless the entity has
/// no `user_id`: then the change cannot be enqueued before [`for_user`](Enqueue::for_user).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use std::time::Duration;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry { #[outbox(entity_id)] id: Uuid, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mood = MoodEntry { id: Uuid::now_v7(), user_id: "user-1".into(), valence: 0.5 };
/// let store = MemoryStore::new();
/// mood.enqueue_update().priority(9).delay(Duration::from_secs(5)).on(&store).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is enqueued until you call `.on(..)`"]
pub struct Enqueue<User = KnownUser> {
    event: NewEvent,
    /// The error of the serializer, kept until `on` or `into_event` can return it.
    fault: Option<EnqueueError>,
    user: PhantomData<User>,
}

impl Enqueue {
    /// A change of `entity`. The derived `enqueue_*` methods call this.
    ///
    /// With the feature `opentelemetry`, this takes the context of the current span:
    /// [`trace_context`](Self::trace_context).
    ///
    /// In debug builds, and with the feature `testing`, the metadata is read back immediately, so
    /// that metadata that no handler could read is reported here: [`EnqueueError::Unreadable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// # let is_first = true;
    /// let operation = if is_first { Operation::Create } else { Operation::Update };
    /// let change = Enqueue::new(&goal, operation); // instead of `enqueue_create` or `enqueue_update`
    /// # let _ = change.event_id();
    /// ```
    pub fn new<E: OutboxEntity>(entity: &E, operation: Operation) -> Self {
        Self::within(trace::current(), entity, operation)
    }

    /// The same, enqueued by this span.
    fn within<E: OutboxEntity>(
        context: Option<TraceContext>,
        entity: &E,
        operation: Operation,
    ) -> Self {
        let options = E::OPTIONS;
        let mut event = NewEvent::new(
            options.event_type(),
            entity.entity_id(),
            entity.user_id(),
            operation,
        )
        .with_priority(options.priority())
        .with_max_attempts(options.max_attempts())
        .with_metadata_version(options.metadata_version())
        .with_order(options.order())
        .with_on_dead(options.on_dead())
        .with_coalesce(options.coalesce());
        if let Some(time) = options.expires_after() {
            event = event.with_expiry(Expiry::After(time));
        }
        event.destination = entity.destination();
        for parent in entity.parents() {
            event = event.with_parent(parent);
        }
        event.trace_context = context;
        let fault = match entity.metadata_json() {
            Ok(metadata) => {
                let unreadable = readable::check::<E>(&metadata).err();
                event.metadata = Some(metadata);
                unreadable
            }
            Err(source) => Some(EnqueueError::Metadata {
                event_type: options.event_type().to_owned(),
                source: match E::SENSITIVE {
                    Sensitive::Nothing => source,
                    Sensitive::AllBut(_) | Sensitive::ByHand => metadata::without_values(&source),
                },
            }),
        };
        Self {
            event,
            fault,
            user: PhantomData,
        }
    }
}

impl<User> Enqueue<User> {
    /// Sets the priority: higher values are delivered first, across entities. Default: the entity's
    /// `priority`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let urgent = goal.enqueue_update().priority(9);
    /// assert_eq!(urgent.into_event()?.priority(), 9);
    /// # Ok::<(), EnqueueError>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.event.priority = priority;
        self
    }

    /// Sets the delay before the first attempt. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// // Ten seconds to undo it: `Cancel::entity(..)`.
    /// goal.enqueue_delete().delay(Duration::from_secs(10)).on(&store).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.event.delay = delay;
        self
    }

    /// Sets the number of attempts after which the event becomes a dead letter, at least 1.
    /// Default: the entity's `max_attempts`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let once = goal.enqueue_update().max_attempts(1).into_event()?;
    /// assert_eq!(once.max_attempts(), 1);
    /// # Ok::<(), EnqueueError>(())
    /// ```
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.event.max_attempts = max_attempts;
        self
    }

    /// Sets the destination: see [`NewEvent::with_destination`]. Default: the entity's
    /// `destination`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let event = goal.enqueue_update().destination("eu.example.com").into_event()?;
    /// assert_eq!(event.destination(), Some("eu.example.com"));
    /// # Ok::<(), EnqueueError>(())
    /// ```
    pub fn destination(mut self, destination: impl Into<String>) -> Self {
        self.event.destination = Some(destination.into());
        self
    }

    /// Sets the trace context: which span of which trace enqueues the event.
    ///
    /// Default: with the feature `opentelemetry`, that of the span that is current on this thread
    /// when the change is made (`enqueue_update()`); else none. In `spawn_blocking`, in a spawned
    /// task and on a thread of one's own no span is current: take `TraceContext::current()` before,
    /// and give it here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// use outbox_runtime::TraceContext;
    ///
    /// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let change = goal.enqueue_update().trace_context(TraceContext::new(header)?);
    /// # drop(change);
    /// # Ok::<(), outbox_runtime::TraceContextError>(())
    /// ```
    pub fn trace_context(mut self, context: impl Into<Option<TraceContext>>) -> Self {
        self.event.trace_context = context.into();
        self
    }

    /// The id that the event will have. Note it before a commit whose outcome might stay unknown.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.event.id
    }

    /// Sets the event id, to enqueue the same event again after a commit whose outcome is unknown.
    ///
    /// If the event is already stored with the same content, nothing is written. With different
    /// content it is an error, and the first event is kept. The same holds if the event was folded
    /// into another one ([`Coalesce`](crate::Coalesce)), or another one into it: nothing is
    /// written, and the newer content stays.
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
    /// use outbox_runtime::Enqueued;
    ///
    /// let change = goal.enqueue_update();
    /// let id = change.event_id();
    /// if change.on(&store).await.is_err_and(|error| !error.outcome_unknown()) {
    ///     return Ok(()); // nothing was written
    /// }
    /// // In doubt, once more: an event is never there twice.
    /// let again = goal.enqueue_update().with_event_id(id).on(&store).await?;
    /// assert_eq!(again, Enqueued::AlreadyThere(id));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_event_id(mut self, id: Uuid) -> Self {
        self.event = self.event.with_id(id);
        self
    }

    /// Writes the event to `sink`.
    ///
    /// On a store, this returns a future that resolves once the event is committed. On a `rusqlite`
    /// connection, transaction or savepoint, the event is written when the call returns and joins
    /// the caller's transaction: the event exists if and only if that transaction commits.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # mod example {
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # async fn save(store: SqliteStore, mut conn: outbox_runtime::rusqlite::Connection, goal: Goal) -> Result<(), Box<dyn std::error::Error>> {
    /// goal.enqueue_update().on(&store).await?; // a transaction of its own
    ///
    /// let tx = conn.transaction()?;
    /// tx.execute("UPDATE goal SET title = ?2 WHERE id = ?1", (goal.id, &goal.title))?;
    /// goal.enqueue_update().on(&tx)?; // that of the application
    /// tx.commit()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn on<S: EventSink<Driver>, Driver>(self, sink: S) -> S::Output
    where
        User: HasUser,
    {
        sink.enqueue(self.into_event().inspect(count))
    }

    /// Returns the event by value, for a driver that does not implement [`EventSink`].
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Metadata`] if the metadata could not be serialized as JSON,
    /// [`EnqueueError::Unreadable`] if it could not be read back, and [`EnqueueError::Invalid`] if
    /// a value breaks a rule of the row.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let event = goal.enqueue_update().into_event()?;
    /// assert_eq!(event.event_type(), "goal");
    /// assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"title":"Swim"}"#));
    /// # Ok::<(), EnqueueError>(())
    /// ```
    pub fn into_event(self) -> Result<NewEvent, EnqueueError>
    where
        User: HasUser,
    {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.event.validate()?;
        Ok(self.event)
    }
}

/// Counts a change for the metrics.
pub(crate) fn count(event: &NewEvent) {
    meter::enqueued(&event.event_type, event.destination.as_deref());
}

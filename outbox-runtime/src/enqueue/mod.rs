//! Enqueueing: a change on its way into a transaction, and the sinks that accept it.

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
mod extras; // keys and expiry
mod fold; // merging an event into an unclaimed one
mod for_user; // the user that a call gives to a change
mod new_event; // events that are not in a store yet
mod readable; // whether metadata can be read back
#[cfg(feature = "sqlite")]
mod returned; // refusals that a closure returns as its value
mod special; // making events with a key, or that expire
mod user; // whether the user of a change is known

pub use self::batch::{BatchSink, EnqueueAll, enqueue_all};
pub use self::extras::{Expiry, OnSameKey};
pub use self::new_event::NewEvent;
pub(crate) use self::new_event::{key_fault, size_fault};
#[cfg(feature = "sqlite")]
pub(crate) use self::returned::unless_refused;
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
        .with_coalesce(options.coalesce())
        .with_expiry(options.expires_after().map(Expiry::After));
        event.destination = entity.destination();
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
    pub fn priority(mut self, priority: i32) -> Self {
        self.event.priority = priority;
        self
    }

    /// Sets the delay before the first attempt. Default: none.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.event.delay = delay;
        self
    }

    /// Sets the number of attempts after which the event becomes a dead letter, at least 1.
    /// Default: the entity's `max_attempts`.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.event.max_attempts = max_attempts;
        self
    }

    /// Sets the destination: see [`NewEvent::with_destination`]. Default: the entity's
    /// `destination`.
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
    pub fn with_event_id(mut self, id: Uuid) -> Self {
        self.event = self.event.with_id(id);
        self
    }

    /// Writes the event to `sink`.
    ///
    /// On a store, this returns a future that resolves once the event is committed. On a `rusqlite`
    /// connection, transaction or savepoint, the event is written when the call returns and joins
    /// the caller's transaction: the event exists if and only if that transaction commits.
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

/// A sink for events: a store, or the caller's own connection or transaction.
///
/// The trait is open. `Driver` is a marker type of the crate that implements the trait, so that any
/// crate can implement it for connections of a driver that neither it nor this library defines. If
/// that driver speaks SQLite, `store::SqliteStep` has the statements to run. Callers of `.on(..)`
/// never name the marker: it is inferred from the connection. Code that is generic over sinks names
/// it in its bound: for `MemoryStore` it is `MemoryStore`, and for `SqliteStore` and the
/// connections of rusqlite it is `SqliteStore`.
///
/// `Output` is a `Result` for a synchronous driver, and a future of one for an asynchronous driver.
///
/// # Examples
///
/// A type of your own can be its own marker:
///
/// ```
/// use std::sync::Mutex;
/// use outbox_runtime::{EnqueueError, EventSink, NewEvent};
///
/// /// Collects the events that would be sent.
/// #[derive(Default)]
/// struct Outgoing(Mutex<Vec<NewEvent>>);
///
/// impl EventSink<Outgoing> for &Outgoing {
///     type Output = Result<(), EnqueueError>;
///
///     fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
///         self.0.lock().unwrap().push(event?);
///         Ok(())
///     }
/// }
/// ```
///
/// A connection type of another crate needs a separate marker:
///
/// ```
/// # use outbox_runtime::{EnqueueError, EventSink, NewEvent};
/// /// The marker for the other crate: an empty enum, which has no values.
/// pub enum MyDriver {}
///
/// impl EventSink<MyDriver> for &std::sync::mpsc::Sender<NewEvent> {
///     type Output = Result<(), EnqueueError>;
///
///     fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
///         // The receiver outlives every sender.
///         let _ = self.send(event?);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "events cannot be enqueued on `{Self}`",
    label = "not a store and not a connection that takes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint",
    note = "if it is a reference to one of rusqlite's, there may be two versions of rusqlite in the tree: `cargo tree -d` shows them, and `outbox_runtime::rusqlite` is the one that takes events"
)]
pub trait EventSink<Driver> {
    /// `Result<_, EnqueueError>`, or a future of one.
    type Output;

    /// Writes the event, or returns the error that kept it from being made.
    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output;
}

/// The result of enqueueing an event successfully.
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
    /// The event has a [key](Enqueue::key), and took the place of an unclaimed event with the same
    /// key, which is gone and never sent.
    Replaced {
        /// The event that was enqueued.
        event_id: Uuid,
        /// The event that it replaced; the newest, if there were several.
        replaced: Uuid,
    },
    /// The event has a [key](Enqueue::key) and was not enqueued, because an unclaimed event has the
    /// same key: [`OnSameKey::Keep`].
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

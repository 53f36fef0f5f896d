//! The door in: a change on its way into a transaction, and what it can be written to.

use std::time::Duration;

use uuid::Uuid;

use crate::entity::OutboxEntity;
use crate::error::EnqueueError;
use crate::event::Operation;
use crate::metadata;
use crate::redaction::Sensitive;

mod batch; // many changes at once
mod content; // what makes two events with one id the same
mod fold; // what becomes of one that waits when a newer one arrives
mod new_event; // an event that is not in a store yet
mod readable; // whether what was written can be read
#[cfg(feature = "sqlite")]
mod returned; // a refusal that a transaction returns as its value

pub use self::batch::{BatchSink, EnqueueAll, enqueue_all};
pub use self::new_event::NewEvent;
pub(crate) use self::new_event::{key_fault, size_fault};
#[cfg(feature = "sqlite")]
pub(crate) use self::returned::unless_refused;

/// A change that is about to be enqueued; made by `enqueue_create()`, `enqueue_update()` and `enqueue_delete()`.
///
/// `enqueue_sync()` is another name of `enqueue_create()`: both tell of an entity that is new, [`Operation::Create`]. An entity that
/// the service may have already is told of by `enqueue_update()`.
///
/// The metadata was already written as JSON from the entity's fields, so it does not borrow the entity.
/// Nothing is stored before [`on`](Enqueue::on).
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
pub struct Enqueue {
    event: NewEvent,
    /// The serializer's error, kept until somebody can be told.
    fault: Option<EnqueueError>,
}

impl Enqueue {
    /// A change of `entity`; the derived `enqueue_*` methods call this.
    ///
    /// In debug builds, and with the feature `testing`, the metadata is read back at once, so that what no handler could read
    /// is told here: [`EnqueueError::Unreadable`].
    pub fn new<E: OutboxEntity>(entity: &E, operation: Operation) -> Self {
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
        event.destination = entity.destination();
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
        Self { event, fault }
    }

    /// Higher goes first, among entities. Default: the entity's `priority`.
    pub fn priority(mut self, priority: i32) -> Self {
        self.event.priority = priority;
        self
    }

    /// How long to wait before the first attempt. Default: not at all.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.event.delay = delay;
        self
    }

    /// With how many attempts it becomes a dead letter, at least 1. Default: the entity's `max_attempts`.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.event.max_attempts = max_attempts;
        self
    }

    /// Where it is delivered to: see [`NewEvent::with_destination`]. Default: what the entity's `destination` says.
    pub fn destination(mut self, destination: impl Into<String>) -> Self {
        self.event.destination = Some(destination.into());
        self
    }

    /// The id that the event will have: worth noting before a commit whose outcome might stay unknown.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.event.id
    }

    /// Enqueues the same event again, after a commit of which nobody knows whether it happened.
    ///
    /// Where the event is already there with the same content nothing is written; with other content it is an error
    /// and the first is kept. That counts as well where it was folded into another ([`Coalesce`](crate::Coalesce)) or
    /// another into it: nothing is written, and the newer content stays.
    pub fn with_event_id(mut self, id: Uuid) -> Self {
        self.event = self.event.with_id(id);
        self
    }

    /// Writes the event to `sink`.
    ///
    /// On a store this is a future that resolves once the event is committed. On a `rusqlite` connection,
    /// transaction or savepoint it is done when the call returns, and joins the caller's transaction: the event
    /// exists if and only if that commits.
    pub fn on<S: EventSink<Driver>, Driver>(self, sink: S) -> S::Output {
        sink.enqueue(self.into_event())
    }

    /// The event by value, for a driver that is not an [`EventSink`].
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Metadata`] where the metadata could not be written as JSON, [`EnqueueError::Unreadable`] where it could
    /// not be read back, [`EnqueueError::Invalid`] where a value breaks a rule of the row.
    pub fn into_event(self) -> Result<NewEvent, EnqueueError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.event.validate()?;
        Ok(self.event)
    }
}

/// What an event can be written to: a store, or the caller's own connection or transaction.
///
/// The trait is open. `Driver` is a marker: a type of the crate that implements the trait, so that any crate can
/// implement it for the connection of a driver that neither it nor this library defines. Where such a driver
/// speaks SQLite, `SqliteInsert` is the statement to run. Nobody who calls `.on(..)` names the marker: it is inferred
/// from the connection. Code that is generic over sinks names it in its bound: that of `MemoryStore` is
/// `MemoryStore`, and that of `SqliteStore` and of rusqlite's connections is `SqliteStore`.
///
/// `Output` is a `Result` for a synchronous driver and a future of one for an asynchronous driver.
///
/// # Examples
///
/// A type of one's own can be its own marker:
///
/// ```
/// use std::sync::Mutex;
/// use outbox_runtime::{EnqueueError, EventSink, NewEvent};
///
/// /// Collects what would be sent.
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
/// A connection of somebody else's needs one:
///
/// ```
/// # use outbox_runtime::{EnqueueError, EventSink, NewEvent};
/// /// Stands for the other crate: it has no fields, and there is never a value of it.
/// pub enum MyDriver {}
///
/// impl EventSink<MyDriver> for &std::sync::mpsc::Sender<NewEvent> {
///     type Output = Result<(), EnqueueError>;
///
///     fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
///         // Its receiver is kept as long as anything is enqueued.
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

    /// Writes the event, or passes on why it could not be made.
    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output;
}

/// What became of an event that was enqueued without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Enqueued {
    /// It was written.
    New(Uuid),
    /// The same event was already there; nothing was written.
    AlreadyThere(Uuid),
    /// An event about the same entity that nobody had claimed carries it now: [`Coalesce::Latest`](crate::Coalesce).
    /// What is sent has that one's id as its idempotency key.
    Folded {
        /// The event that was enqueued.
        event_id: Uuid,
        /// The event that carries it.
        into: Uuid,
    },
    /// It deletes an entity whose creation nobody had claimed. Neither is sent: the remote service never knew the entity.
    Cancelled {
        /// The delete that was enqueued.
        event_id: Uuid,
        /// The creation, which counts as completed now.
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
            | Self::Cancelled { event_id, .. } => event_id,
        }
    }

    /// The id of the event in the store that carries it: its own, unless it was folded into another.
    #[must_use]
    pub fn carried_by(self) -> Uuid {
        match self {
            Self::New(event_id) | Self::AlreadyThere(event_id) => event_id,
            Self::Folded { into, .. } => into,
            Self::Cancelled { create, .. } => create,
        }
    }
}

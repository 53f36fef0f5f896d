//! Cancellations: taking back changes that were enqueued and not claimed yet.

use uuid::Uuid;

use crate::entity::EntityId;
use crate::event::{OutboxEvent, OutboxStatus};

/// Which events to cancel: those with a [key](crate::Enqueue::key), or those of an entity.
///
/// Only events that were never claimed are canceled, which means deleted: the service cannot have
/// seen them. The answer tells which were too late. The events behind a canceled one go on.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::Cancel;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "reminder")]
/// # struct Reminder { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let reminder = Reminder { id: 7, user_id: "user-1".into() };
/// reminder.enqueue_create().key("reminder-7").on(&store).await?;
/// let answer = Cancel::key("user-1", "reminder-7").on(&store).await?;
/// assert_eq!((answer.canceled.len(), answer.too_late.len()), (1, 0));
///
/// reminder.enqueue_create().on(&store).await?;
/// assert!(Cancel::entity("user-1", 7).on(&store).await?.is_complete());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is canceled until you call `.on(..)`"]
pub struct Cancel {
    user_id: String,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Key(String),
    Entity(EntityId),
}

impl Cancel {
    /// The events of this user with this key, whatever their types and entities.
    pub fn key(user_id: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            user_id: user_id.into(),
            target: Target::Key(key.into()),
        }
    }

    /// The events of this user about this entity, whatever their types.
    pub fn entity(user_id: impl Into<String>, entity_id: impl Into<EntityId>) -> Self {
        Self {
            user_id: user_id.into(),
            target: Target::Entity(entity_id.into().in_one_form()),
        }
    }

    /// Cancels the events in `sink`: on a store in a transaction of its own, and the returned
    /// future resolves once it is committed; on a `rusqlite` connection, transaction or savepoint
    /// in that of the caller, when the call returns. If that one is rolled back, nothing was
    /// canceled.
    pub fn on<S: CancelSink<Driver>, Driver>(self, sink: S) -> S::Output {
        sink.cancel_events(self)
    }

    /// The user of the events. For stores.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The key, unless an entity is given. For stores.
    #[must_use]
    pub fn of_key(&self) -> Option<&str> {
        match &self.target {
            Target::Key(key) => Some(key),
            Target::Entity(_) => None,
        }
    }

    /// The entity, unless a key is given. For stores.
    #[must_use]
    pub fn of_entity(&self) -> Option<&EntityId> {
        match &self.target {
            Target::Entity(entity_id) => Some(entity_id),
            Target::Key(_) => None,
        }
    }

    /// Whether it is about this event. For stores.
    #[must_use]
    pub fn selects(&self, event: &OutboxEvent) -> bool {
        event.user_id == self.user_id
            && match &self.target {
                Target::Key(key) => event.dedup_key.as_ref() == Some(key),
                Target::Entity(entity_id) => {
                    event.entity_id == *entity_id && event.status != OutboxStatus::Completed
                }
            }
    }
}

/// A place where events can be [canceled](Cancel): a store, or the caller's own connection or
/// transaction. `Driver` is a marker type of the crate that implements the trait, as for
/// [`EventSink`](crate::EventSink).
#[diagnostic::on_unimplemented(
    message = "events cannot be canceled on `{Self}`",
    label = "not a store and not a connection on which events can be canceled",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint",
    note = "a connection of sqlx or diesel is passed as `&mut tx`, and takes events once the program names the package for it: `use outbox_sqlx as _;`, or `use outbox_diesel as _;`"
)]
pub trait CancelSink<Driver> {
    /// `Result<Canceled, StoreError>`, or a future of one.
    type Output;

    /// Cancels the events.
    fn cancel_events(self, cancel: Cancel) -> Self::Output;
}

/// The canceled events, and those that were too late: see [`Cancel`].
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{Canceled, OutboxStatus};
/// fn answer(canceled: &Canceled) -> String {
///     match canceled.too_late.first() {
///         None if canceled.is_complete() => format!("{} taken back", canceled.canceled.len()),
///         Some((id, OutboxStatus::Completed)) => format!("{id} was sent already"),
///         _ => "too late: it is being sent".to_owned(),
///     }
/// }
///
/// assert_eq!(answer(&Canceled::default()), "0 taken back");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Canceled {
    /// The events that are gone, in the order in which they were enqueued.
    pub canceled: Vec<Uuid>,
    /// The events that stay, because they were claimed before: in the order in which they were
    /// enqueued, with their status. Of those of a key, delivered ones are among them until they are
    /// cleaned up; of those of an entity, only undelivered and dead ones are, because delivered
    /// ones would have to be searched.
    pub too_late: Vec<(Uuid, OutboxStatus)>,
}

impl Canceled {
    /// Whether no event was too late.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.too_late.is_empty()
    }

    /// Takes in an event that the cancellation selects. Returns whether it is to be deleted. For
    /// stores.
    pub fn add(&mut self, event: &OutboxEvent) -> bool {
        let is_unclaimed = event.was_never_attempted();
        if is_unclaimed {
            self.canceled.push(event.id);
        } else {
            self.too_late.push((event.id, event.status));
        }
        is_unclaimed
    }
}

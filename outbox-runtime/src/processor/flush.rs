//! Flush: waits until events are delivered, or until it is clear that they will not be without
//! help.

use std::time::Duration;

use uuid::Uuid;

use super::Running;
use crate::enqueue::Enqueued;
use crate::entity::{EntityId, OutboxEntity};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::OutboxRepository;
use crate::statistics::{Explanation, WaitsFor};
use crate::waiting;

/// The result of a [`Running::flush`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::Flushed;
///
/// fn label(flushed: &Flushed) -> &'static str {
///     match flushed {
///         Flushed::Delivered | Flushed::NothingThere => "up to date",
///         Flushed::Blocked(_) => "needs your attention",
///         _ => "will be sent later",
///     }
/// }
///
/// assert_eq!(label(&Flushed::Delivered), "up to date");
/// assert!(!Flushed::NothingThere.is_delivered());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Flushed {
    /// All the events are delivered.
    Delivered,
    /// The store has no such event for the user of this run: none was ever enqueued, or all of them
    /// were delivered and cleaned up since, or deleted. To tell these apart, keep the value that
    /// `on` returned: it proves that the event was enqueued.
    NothingThere,
    /// Delivery needs help from outside: an event is dead, has no handler here, or is held back by
    /// a pause without an end.
    Blocked(Explanation),
    /// The time ran out before the events were delivered.
    TimedOut(Explanation),
}

impl Flushed {
    /// Whether there was at least one such event, and all of them are delivered.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        *self == Self::Delivered
    }
}

/// The events that a flush waits for.
enum Target {
    /// All events of an entity, regardless of type.
    Entity(EntityId),
    /// The events of an entity that have this type and user.
    Typed {
        entity_id: EntityId,
        event_type: &'static str,
        user_id: String,
    },
    Event(Uuid),
}

/// The state of the target.
enum Found {
    Settled(Flushed),
    Pending(Explanation),
}

impl Running {
    /// Waits until all events of an entity are delivered, until it is clear that delivery needs
    /// help, or until `timeout`.
    ///
    /// An id alone does not tell the type or the user: this waits for all events of this run's user
    /// that have the id. Use [`flush_entity`](Self::flush_entity) for one entity of one type and
    /// user, and [`flush_event`](Self::flush_event) for one event.
    ///
    /// The timeout ends by the store's clock or by the machine's, whichever comes first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call);
    /// `NotAllowedHere` inside a [`transaction`](crate::SqliteStore::transaction) of a store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use outbox_runtime::{Flushed, Running, StoreError};
    /// # async fn sync_now(running: &Running) -> Result<(), StoreError> {
    /// match running.flush("goal-7", Duration::from_secs(5)).await? {
    ///     Flushed::Delivered => println!("synchronized"),
    ///     Flushed::NothingThere => println!("nothing to send"),
    ///     Flushed::Blocked(explanation) => println!("needs help: {explanation}"),
    ///     Flushed::TimedOut(explanation) => println!("still waiting: {explanation}"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(
        &self,
        entity_id: impl Into<EntityId>,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        self.wait_for(&Target::Entity(entity_id.into()), timeout)
            .await
    }

    /// Like [`flush`](Self::flush), for the events of this entity: those with its type, id, and
    /// user.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Cancel safety
    ///
    /// As for [`flush`](Self::flush).
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
    /// # let processor = Processor::builder(store.clone()).handle::<Goal>(|_| async { Ok(()) }).build()?;
    /// # let running = processor.start("user-1");
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// goal.enqueue_create().on(&store).await?;
    /// let flushed = running.flush_entity(&goal, Duration::from_secs(5)).await?;
    /// assert!(flushed.is_delivered());
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush_entity<E: OutboxEntity>(
        &self,
        entity: &E,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        let target = Target::Typed {
            entity_id: entity.entity_id(),
            event_type: E::EVENT_TYPE,
            user_id: entity.user_id().into_owned(),
        };
        self.wait_for(&target, timeout).await
    }

    /// Like [`flush`](Self::flush), for one event, given by the value that
    /// [`on`](crate::Enqueue::on) returned or by an event id.
    ///
    /// If the event was folded into another one, this waits for that one, provided that the value
    /// from `on` is given and not the id alone. A delete that cancelled out counts as delivered.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Cancel safety
    ///
    /// As for [`flush`](Self::flush).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{prelude::*, Flushed, HandlerSet, MemoryStore, Processor};
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "moodEntry")]
    /// # struct MoodEntry {
    /// #     #[outbox(entity_id)] id: i64,
    /// #     #[outbox(user_id)] user_id: String,
    /// #     #[outbox(metadata)] valence: f64,
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let processor = Processor::builder(store.clone())
    /// #     .handle::<MoodEntry>(|_| async { Ok(()) })
    /// #     .build()?;
    /// # let running = processor.start("user-1");
    /// # let mood = MoodEntry { id: 1, user_id: "user-1".into(), valence: 0.5 };
    /// let enqueued = mood.enqueue_sync().on(&store).await?;
    /// let flushed = running.flush_event(enqueued, Duration::from_secs(5)).await?;
    /// assert_eq!(flushed, Flushed::Delivered);
    /// assert_eq!(running.flush(2, Duration::from_secs(5)).await?, Flushed::NothingThere);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush_event(
        &self,
        event: impl Into<EventRef>,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        let EventRef(id) = event.into();
        self.wait_for(&Target::Event(id), timeout).await
    }

    async fn wait_for(&self, target: &Target, timeout: Duration) -> Result<Flushed, StoreError> {
        waiting::refuse_to_wait_for_a_run("flush")?;
        let mut changes = self.changes_within(timeout);
        loop {
            changes.look();
            if let Found::Settled(flushed) = self.look_for(target).await? {
                return Ok(flushed);
            }
            if !changes.next().await {
                break;
            }
        }
        Ok(match self.look_for(target).await? {
            Found::Settled(flushed) => flushed,
            Found::Pending(explanation) => Flushed::TimedOut(explanation),
        })
    }

    async fn look_for(&self, target: &Target) -> Result<Found, StoreError> {
        let repository = &self.inner.shared.repository;
        let own = self.inner.user_id.as_deref();
        let is_own = |user: &str| own.is_none_or(|own| own == user);
        let events = match target {
            Target::Entity(entity_id) => {
                let explanation = self.explain_entity(entity_id, own).await?;
                if explanation.waits_for != WaitsFor::Nothing {
                    return Ok(Found::of(explanation));
                }
                repository
                    .fetch_events_for_entity(entity_id, None, own)
                    .await?
            }
            Target::Typed { user_id, .. } if !is_own(user_id) => Vec::new(),
            Target::Typed {
                entity_id,
                event_type,
                user_id,
            } => {
                repository
                    .fetch_events_for_entity(entity_id, Some(event_type), Some(user_id))
                    .await?
            }
            Target::Event(id) => {
                let event = repository.fetch_event(*id).await?;
                event
                    .into_iter()
                    .filter(|event| is_own(&event.user_id))
                    .collect()
            }
        };
        if events.is_empty() {
            return Ok(Found::Settled(Flushed::NothingThere));
        }
        let is_delivered = |event: &&OutboxEvent| event.status == OutboxStatus::Completed;
        let undelivered: Vec<&OutboxEvent> =
            events.iter().filter(|event| !is_delivered(event)).collect();
        let Some(first) = undelivered.first() else {
            return Ok(Found::Settled(Flushed::Delivered));
        };
        let dead = undelivered
            .iter()
            .find(|event| event.status == OutboxStatus::Dead);
        if let Some(dead) = dead {
            let now = self.inner.shared.clock.now();
            let count = undelivered.len() as u64;
            let dead = OutboxEvent::clone(dead);
            let explanation = Explanation::new(dead.entity_id.clone(), count, Some(dead), now);
            return Ok(Found::Settled(Flushed::Blocked(explanation)));
        }
        let user_id = Some(first.user_id.as_str());
        let explanation = self.explain_entity(&first.entity_id, user_id).await?;
        Ok(Found::of(explanation))
    }
}

impl Found {
    fn of(explanation: Explanation) -> Self {
        match explanation.waits_for.at_last() {
            WaitsFor::Decision { .. }
            | WaitsFor::Registration { .. }
            | WaitsFor::Retired { .. } => Self::Settled(Flushed::Blocked(explanation)),
            WaitsFor::Pause(paused) if paused.until.is_none() => {
                Self::Settled(Flushed::Blocked(explanation))
            }
            _ => Self::Pending(explanation),
        }
    }
}

/// The event that [`Running::flush_event`] waits for.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Enqueued, EventRef};
/// use uuid::Uuid;
///
/// let (event_id, into) = (Uuid::now_v7(), Uuid::now_v7());
/// let folded = Enqueued::Folded { event_id, into };
/// assert_eq!(EventRef::from(folded), EventRef::from(into));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventRef(Uuid);

impl From<Enqueued> for EventRef {
    /// The event that carries the enqueued change.
    fn from(enqueued: Enqueued) -> Self {
        Self(enqueued.carried_by())
    }
}

impl From<Uuid> for EventRef {
    fn from(event_id: Uuid) -> Self {
        Self(event_id)
    }
}

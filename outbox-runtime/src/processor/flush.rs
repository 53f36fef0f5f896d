//! Flushing: waiting until something is delivered, or until it is clear that it will not be without help.

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

/// What became of events by the end of a [`Running::flush`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Flushed {
    /// Every event in question is delivered.
    Delivered,
    /// The store has no event in question, for the user of this run: none was ever enqueued, or all of them were delivered and
    /// cleaned up since, or deleted. Whether it was enqueued, who has what `on` returned knows.
    NothingThere,
    /// They will not be without somebody's help: one is dead, or has no handler here.
    Blocked(Explanation),
    /// They are not yet.
    TimedOut(Explanation),
}

impl Flushed {
    /// Whether every event in question is delivered, and there was one.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        *self == Self::Delivered
    }
}

/// Which events are in question.
enum Sought {
    /// All of an entity, whatever their types.
    Entity(EntityId),
    /// Those of one type.
    Typed {
        entity_id: EntityId,
        event_type: &'static str,
        user_id: String,
    },
    Event(Uuid),
}

/// What a look has found.
enum Found {
    Settled(Flushed),
    Pending(Explanation),
}

impl Running {
    /// Waits until every event of an entity is delivered, until it is clear that somebody must help, or until `timeout`.
    ///
    /// An id says nothing about whose it is, nor of what type: of the events of this run's user, all that have it are meant.
    /// [`flush_entity`](Self::flush_entity) is about one entity of one type and user, [`flush_event`](Self::flush_event) about one event.
    ///
    /// The timeout ends by the clock of the store or by that of the machine, whichever is first.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read; `NotAllowedHere` inside a
    /// [`transaction`](crate::SqliteStore::transaction) of a store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub async fn flush(
        &self,
        entity_id: impl Into<EntityId>,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        self.wait_for(&Sought::Entity(entity_id.into()), timeout)
            .await
    }

    /// [`flush`](Self::flush) for the events of this entity: of its type, its id and its user.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As [`flush`](Self::flush).
    pub async fn flush_entity<E: OutboxEntity>(
        &self,
        entity: &E,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        let sought = Sought::Typed {
            entity_id: entity.entity_id(),
            event_type: E::EVENT_TYPE,
            user_id: entity.user_id().into_owned(),
        };
        self.wait_for(&sought, timeout).await
    }

    /// [`flush`](Self::flush) for one event: what [`on`](crate::Enqueue::on) returned, or an event id.
    ///
    /// Where the event was folded into another, that one is meant, as long as `on`'s answer is given and not the id alone. A delete
    /// that cancelled out counts as delivered.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As [`flush`](Self::flush).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{prelude::*, Flushed, HandlerSet, MemoryStore, Processor};
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "moodEntry")]
    /// # struct MoodEntry { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let processor = Processor::builder(store.clone()).handle::<MoodEntry>(|_| async { Ok(()) }).build()?;
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
        self.wait_for(&Sought::Event(id), timeout).await
    }

    async fn wait_for(&self, sought: &Sought, timeout: Duration) -> Result<Flushed, StoreError> {
        waiting::refuse_to_wait_for_a_run("flush")?;
        let mut changes = self.changes_within(timeout);
        loop {
            changes.look();
            if let Found::Settled(flushed) = self.look_for(sought).await? {
                return Ok(flushed);
            }
            if !changes.next().await {
                break;
            }
        }
        Ok(match self.look_for(sought).await? {
            Found::Settled(flushed) => flushed,
            Found::Pending(explanation) => Flushed::TimedOut(explanation),
        })
    }

    async fn look_for(&self, sought: &Sought) -> Result<Found, StoreError> {
        let repository = &self.inner.shared.repository;
        let own = self.inner.user_id.as_deref();
        let is_own = |user: &str| own.is_none_or(|own| own == user);
        let events = match sought {
            Sought::Entity(entity_id) => {
                let explanation = self.explain_entity(entity_id, own).await?;
                if explanation.waits_for != WaitsFor::Nothing {
                    return Ok(Found::of(explanation));
                }
                repository
                    .fetch_events_for_entity(entity_id, None, own)
                    .await?
            }
            Sought::Typed { user_id, .. } if !is_own(user_id) => Vec::new(),
            Sought::Typed {
                entity_id,
                event_type,
                user_id,
            } => {
                repository
                    .fetch_events_for_entity(entity_id, Some(event_type), Some(user_id))
                    .await?
            }
            Sought::Event(id) => {
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
        match explanation.waits_for {
            WaitsFor::Decision { .. } | WaitsFor::Registration { .. } => {
                Self::Settled(Flushed::Blocked(explanation))
            }
            _ => Self::Pending(explanation),
        }
    }
}

/// Which event [`Running::flush_event`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventRef(Uuid);

impl From<Enqueued> for EventRef {
    /// The event that carries what was enqueued.
    fn from(enqueued: Enqueued) -> Self {
        Self(enqueued.carried_by())
    }
}

impl From<Uuid> for EventRef {
    fn from(event_id: Uuid) -> Self {
        Self(event_id)
    }
}

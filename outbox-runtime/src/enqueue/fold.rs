//! Folding: merging a new event into an unclaimed event about the same entity.

use chrono::{DateTime, Utc};

use super::content::Content;
use super::{Enqueued, NewEvent, OnSameKey};
use crate::clock;
use crate::entity::Coalesce;
use crate::event::{Operation, OutboxEvent, OutboxStatus};

impl NewEvent {
    /// Whether the event may replace or cancel a waiting one. If not, a store need not look for
    /// one.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Coalesce, NewEvent, Operation};
    ///
    /// let change = |operation| {
    ///     NewEvent::new("note", 1, "user-1", operation).with_coalesce(Coalesce::Latest)
    /// };
    /// assert!(change(Operation::Update).may_fold());
    /// assert!(!change(Operation::Create).may_fold());
    /// ```
    #[must_use]
    pub fn may_fold(&self) -> bool {
        self.coalesce == Coalesce::Latest
            && self.operation != Operation::Create
            && !self.never_folds()
    }

    /// Returns `waiting` with this event folded into it, or `None` if both must be delivered. This
    /// is the table of [`Coalesce::Latest`] as code, for stores. For a creation followed by its
    /// deletion, see [`cancels`](Self::cancels).
    ///
    /// `waiting` must be the newest undelivered event of the lane that this event would join; for
    /// unordered events, the newest one about the entity. The result keeps its id, seq and time of
    /// enqueueing, and takes the higher priority, the earlier due time, the larger number of
    /// attempts of the two, the metadata, the headers and the trace context of this event, and the
    /// next revision. Events to two different destinations, or with different
    /// [parents](crate::Enqueue::after), are both delivered.
    ///
    /// An event that was ever claimed is left alone, even if it was given back: the remote service
    /// may have seen its content, and must not see different content under the same idempotency
    /// key.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Clock, Coalesce, MemoryStore, NewEvent, Operation, OutboxRepository};
    /// use outbox_runtime::store::SystemClock;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let change = |operation| {
    ///     NewEvent::new("moodEntry", 7, "user-1", operation).with_coalesce(Coalesce::Latest)
    /// };
    /// let created = MemoryStore::new().create_event(change(Operation::Create)).await?;
    /// let folded = change(Operation::Update).folded_into(&created, SystemClock.now());
    /// assert_eq!(folded.map(|event| event.operation), Some(Operation::Create));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn folded_into(&self, waiting: &OutboxEvent, now: DateTime<Utc>) -> Option<OutboxEvent> {
        if !self.may_replace(waiting) {
            return None;
        }
        let operation = match (waiting.operation, self.operation) {
            (Operation::Create, Operation::Update) => Operation::Create,
            (Operation::Update, Operation::Update) => Operation::Update,
            (Operation::Update, Operation::Delete) => Operation::Delete,
            (Operation::Create, Operation::Delete)
            | (Operation::Delete, _)
            | (_, Operation::Create) => return None,
        };
        let mut folded = waiting.clone();
        folded.revision = waiting.revision.saturating_add(1);
        folded.operation = operation;
        folded.metadata.clone_from(&self.metadata);
        folded.metadata_version = self.metadata_version;
        folded.trace_context.clone_from(&self.trace_context);
        folded.headers.clone_from(self.headers());
        folded.priority = waiting.priority.max(self.priority);
        folded.max_attempts = waiting.max_attempts.max(self.max_attempts);
        folded.next_attempt_at = waiting.next_attempt_at.min(clock::after(now, self.delay));
        Some(folded)
    }

    /// Returns `waiting` as completed if it creates the entity that this event deletes, so that the
    /// two cancel out and neither is sent. Returns `None` for any other pair. The requirements on
    /// `waiting` are those of [`folded_into`](Self::folded_into).
    ///
    /// This is for a store that **knows that the remote service was never told of the entity**: no
    /// other event about it is left to be sent, and none was ever attempted, including events
    /// deleted since. An application may well enqueue a second creation of an entity that the
    /// service has, and its deletion must then be sent. A store that cannot know this delivers
    /// both.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Clock, Coalesce, MemoryStore, NewEvent, Operation, OutboxRepository, OutboxStatus};
    /// use outbox_runtime::store::SystemClock;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let change = |operation| {
    ///     NewEvent::new("moodEntry", 7, "user-1", operation).with_coalesce(Coalesce::Latest)
    /// };
    /// let created = MemoryStore::new().create_event(change(Operation::Create)).await?;
    /// let cancelled = change(Operation::Delete).cancels(&created, SystemClock.now());
    /// assert_eq!(cancelled.map(|event| event.status), Some(OutboxStatus::Completed));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cancels(&self, waiting: &OutboxEvent, now: DateTime<Utc>) -> Option<OutboxEvent> {
        let pair = (waiting.operation, self.operation);
        if !self.may_replace(waiting) || pair != (Operation::Create, Operation::Delete) {
            return None;
        }
        let mut cancelled = waiting.clone();
        cancelled.revision = waiting.revision.saturating_add(1);
        cancelled.status = OutboxStatus::Completed;
        cancelled.completed_at = Some(now);
        Some(cancelled)
    }

    fn may_replace(&self, waiting: &OutboxEvent) -> bool {
        self.coalesce == Coalesce::Latest
            && waiting.was_never_attempted()
            && waiting.event_type == self.event_type
            && waiting.entity_id == self.entity_id
            && waiting.user_id == self.user_id
            && waiting.order == self.order
            && waiting.destination == self.destination
            && waiting.parents == self.parents()
            && !self.never_folds()
            && !waiting.never_folds()
    }

    /// A hash that is equal for the same change of the same entity, in every version of this
    /// library.
    ///
    /// Stores use it to decide whether an event that was folded, or that another event was folded
    /// into, is enqueued again unchanged or under an id that is already taken: see
    /// [`is_same_event`](Self::is_same_event). For stores.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        Content::of(self).fingerprint()
    }
}

impl OutboxEvent {
    /// Whether the event has a key or expires, and so takes no part in coalescing.
    pub(crate) fn never_folds(&self) -> bool {
        self.dedup_key.is_some() || self.expires_at.is_some()
    }

    /// Whether no attempt was ever made: neither here nor, for an imported event, by another
    /// outbox.
    pub(crate) fn was_never_attempted(&self) -> bool {
        self.status == OutboxStatus::Pending
            && self.last_attempt_at.is_none()
            && self.attempt_count == 0
    }

    /// The [`fingerprint`](NewEvent::fingerprint) of the current content. For stores.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        Content::of_stored(self).fingerprint()
    }
}

impl Enqueued {
    /// The answer for an event in whose place the stored event `carrier` with a key is, because it
    /// was kept or came later.
    fn carried_by_key(event: &NewEvent, carrier: &OutboxEvent) -> Self {
        let (event_id, kept) = (event.id, carrier.id);
        tracing::debug!(%event_id, %kept, event_type = ?event.event_type, "another event has its key");
        match event.on_same_key() {
            OnSameKey::Keep => Self::Kept { event_id, kept },
            OnSameKey::Replace => Self::Folded {
                event_id,
                into: kept,
            },
        }
    }

    /// The answer for an event whose change is carried by the stored event `carrier`. Also logs it.
    pub(crate) fn carried(event: &NewEvent, carrier: &OutboxEvent) -> Self {
        let (event_id, into) = (event.id, carrier.id);
        if event_id == into {
            Self::AlreadyThere(event_id)
        } else if carrier.dedup_key.is_some() {
            Self::carried_by_key(event, carrier)
        } else if event.operation == Operation::Delete && carrier.operation == Operation::Create {
            tracing::info!(
                %event_id, create = %into, event_type = ?event.event_type,
                "the entity was deleted before its creation was sent; neither event is sent"
            );
            Self::Cancelled {
                event_id,
                create: into,
            }
        } else {
            tracing::debug!(%event_id, %into, event_type = ?event.event_type, "folded into a waiting event");
            Self::Folded { event_id, into }
        }
    }
}

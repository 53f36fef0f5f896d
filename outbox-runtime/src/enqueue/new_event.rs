//! An event that is not in a store yet, and the rules that it must keep to get there.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::content::Content;
use crate::entity::{Coalesce, DEFAULT_MAX_ATTEMPTS, EntityId, MAX_KEY_BYTES, OnDead, Order};
use crate::error::EnqueueError;
use crate::event::{Operation, OutboxEvent, OutboxStatus};
use crate::metadata::RawMetadata;

/// An event that is not in a store yet: what [`EventSink`](crate::EventSink)s and stores take.
///
/// The derive makes these; relays and bridges that have no entity type make them by hand.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{NewEvent, Operation, OutboxRepository, MemoryStore, RawMetadata};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Update)
///     .with_metadata(RawMetadata::from_bytes("{}"));
/// let stored = MemoryStore::new().create_event(event).await?;
/// assert_eq!(stored.entity_id, 7.into());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an event is enqueued only when a store takes it"]
pub struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) id_origin: IdOrigin,
    pub(crate) event_type: Cow<'static, str>,
    pub(crate) entity_id: EntityId,
    pub(crate) user_id: String,
    pub(crate) operation: Operation,
    pub(crate) priority: i32,
    pub(crate) max_attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) metadata: Option<RawMetadata>,
    pub(crate) metadata_version: u32,
    pub(crate) order: Order,
    pub(crate) on_dead: OnDead,
    pub(crate) coalesce: Coalesce,
    pub(crate) destination: Option<String>,
}

/// Where the id of an event is from. It is no part of the event: two events with one id are equal whoever made it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IdOrigin {
    /// [`NewEvent::new`] made it, so that another call makes another one.
    Made,
    /// The caller gave it.
    Given,
}

impl PartialEq for IdOrigin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl NewEvent {
    /// The longest user id, entity id, event type and destination, in bytes.
    pub const MAX_KEY_BYTES: usize = MAX_KEY_BYTES;
    /// The largest metadata, in bytes (1 MiB). What is larger belongs in the app's own table, with its key as metadata.
    pub const MAX_METADATA_BYTES: usize = 1 << 20;

    /// An event with a new id, priority 0, five attempts, no delay and no metadata.
    pub fn new(
        event_type: impl Into<Cow<'static, str>>,
        entity_id: impl Into<EntityId>,
        user_id: impl Into<String>,
        operation: Operation,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            id_origin: IdOrigin::Made,
            event_type: event_type.into(),
            entity_id: entity_id.into().in_one_form(),
            user_id: user_id.into(),
            operation,
            priority: 0,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            delay: Duration::ZERO,
            metadata: None,
            metadata_version: 1,
            order: Order::Entity,
            on_dead: OnDead::Hold,
            coalesce: Coalesce::Never,
            destination: None,
        }
    }

    /// The same event under an id of the caller's: see [`Enqueue::with_event_id`](crate::Enqueue::with_event_id).
    pub fn with_id(mut self, id: Uuid) -> Self {
        self.id = id;
        self.id_origin = IdOrigin::Given;
        self
    }

    /// Higher goes first. Default: 0.
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// With how many attempts it becomes a dead letter, at least 1. Default: 5.
    pub fn with_max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// How long to wait before the first attempt. Default: not at all.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// What the handler needs to know. Default: none.
    pub fn with_metadata(mut self, metadata: RawMetadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Which version of the metadata's shape it is, from 1. Default: 1.
    pub fn with_metadata_version(mut self, version: u32) -> Self {
        self.metadata_version = version;
        self
    }

    /// Which events it waits for, and which wait for it. Default: those of its entity.
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What happens to the events behind it should it become a dead letter. Default: they wait.
    pub fn with_on_dead(mut self, on_dead: OnDead) -> Self {
        self.on_dead = on_dead;
        self
    }

    /// Whether it takes the place of an event about the same entity that nobody has claimed: see [`Coalesce::Latest`].
    /// Default: never.
    ///
    /// The metadata must then be the entity's whole state, as `#[outbox(snapshot)]` guarantees it for derived events: what
    /// an earlier event said and this one does not is never sent.
    pub fn with_coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Where it is delivered to, a name of your own: not empty, at most [`MAX_KEY_BYTES`](Self::MAX_KEY_BYTES), without control
    /// characters. What the service there answers is taken for the state of that destination alone. Default: none, as all events
    /// of the handler set that name none.
    pub fn with_destination(mut self, destination: impl Into<String>) -> Self {
        self.destination = Some(destination.into());
        self
    }

    /// The event's id, which is the idempotency key of every attempt.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The name of its type, in the row and on the wire.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Which entity changed.
    #[must_use]
    pub fn entity_id(&self) -> &EntityId {
        &self.entity_id
    }

    /// Whose change it is.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// What happened to the entity.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Higher goes first.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// With how many attempts it becomes a dead letter.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// How long to wait before the first attempt.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// What the handler needs to know, as JSON.
    #[must_use]
    pub fn metadata(&self) -> Option<&RawMetadata> {
        self.metadata.as_ref()
    }

    /// Which version of the entity's metadata struct wrote it. From 1.
    #[must_use]
    pub fn metadata_version(&self) -> u32 {
        self.metadata_version
    }

    /// Which events it waits for, and which wait for it.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// What happens to the events behind it should it become a dead letter.
    #[must_use]
    pub fn on_dead(&self) -> OnDead {
        self.on_dead
    }

    /// Whether it takes the place of an event that nobody has claimed.
    #[must_use]
    pub fn coalesce(&self) -> Coalesce {
        self.coalesce
    }

    /// Where it is delivered to; `None`: to where all events of its handler set go that name no destination.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.destination.as_deref()
    }

    /// Checks the rules of a row: what every store and sink must do before it writes.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Invalid`] naming the field and the rule.
    pub fn validate(&self) -> Result<(), EnqueueError> {
        let invalid = |field, reason: String| {
            Err(EnqueueError::Invalid {
                event_type: self.event_type.to_string(),
                field,
                reason,
            })
        };
        let keys = [
            ("event_type", Some(self.event_type.as_ref())),
            ("user_id", Some(self.user_id.as_str())),
            ("entity_id", self.entity_id.as_text()),
            ("destination", self.destination.as_deref()),
        ];
        for (field, key) in keys {
            if let Some(reason) = key.and_then(key_fault) {
                return invalid(field, reason);
            }
        }
        if self.max_attempts == 0 {
            return invalid("max_attempts", "is 0; at least 1 is needed".to_owned());
        }
        if self
            .metadata
            .as_ref()
            .is_some_and(|raw| raw.as_str().is_none())
        {
            return invalid("metadata", "is not UTF-8; write it as JSON".to_owned());
        }
        let bytes = self
            .metadata
            .as_ref()
            .map_or(&[][..], RawMetadata::as_bytes);
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return invalid(
                "metadata",
                format!(
                    "has a NUL at byte {at}, which not every store can hold; JSON writes it as \\u0000"
                ),
            );
        }
        if let Some(reason) = self.metadata.as_ref().and_then(size_fault) {
            return invalid("metadata", reason);
        }
        Ok(())
    }

    /// Whether `stored` is this very event: the same change of the same entity.
    ///
    /// What a processor writes later (status, attempts) and the time of enqueueing do not count. Metadata is compared as JSON:
    /// the order of keys, white space and the notation of numbers do not count either. A row that another event
    /// was folded into has that one's content: a store remembers the [`fingerprint`](Self::fingerprint) of what was first
    /// enqueued under an id, and compares with that.
    #[must_use]
    pub fn is_same_event(&self, stored: &OutboxEvent) -> bool {
        self.id == stored.id && Content::of(self).is_same_as(&Content::of_stored(stored))
    }

    /// Whether the caller gave the event its id. Part of `outbox-import`, not of the public interface.
    #[doc(hidden)]
    #[must_use]
    pub fn has_given_id(&self) -> bool {
        matches!(self.id_origin, IdOrigin::Given)
    }

    /// The row of this event at the moment it is written. For stores.
    #[doc(hidden)]
    #[must_use]
    pub fn into_pending(self, now: DateTime<Utc>) -> OutboxEvent {
        OutboxEvent {
            id: self.id,
            seq: 0,
            event_type: self.event_type.into_owned(),
            entity_id: self.entity_id,
            user_id: self.user_id,
            operation: self.operation,
            status: OutboxStatus::Pending,
            priority: self.priority,
            created_at: now,
            next_attempt_at: crate::clock::after(now, self.delay),
            last_attempt_at: None,
            attempt_count: 0,
            max_attempts: self.max_attempts,
            error_message: None,
            completed_at: None,
            metadata: self.metadata,
            metadata_version: self.metadata_version,
            lease_token: None,
            lease_expires_at: None,
            dead_reason: None,
            order: self.order,
            on_dead: self.on_dead,
            destination: self.destination,
            deferrals: 0,
            deferred_since: None,
            last_refusal: None,
            crashes: 0,
            snoozes: 0,
            revision: 0,
        }
    }
}

/// What is wrong with a string that serves as a key, if anything.
pub(crate) fn key_fault(key: &str) -> Option<String> {
    if key.is_empty() {
        Some("is empty".to_owned())
    } else if key.len() > NewEvent::MAX_KEY_BYTES {
        Some(format!(
            "has {} bytes, more than {}",
            key.len(),
            NewEvent::MAX_KEY_BYTES
        ))
    } else if key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        // Nearly all are.
        None
    } else {
        key.char_indices()
            .find(|(_, c)| c.is_control())
            .map(|(at, c)| format!("has the control character {c:?} at byte {at}"))
    }
}

/// What is wrong with the size of metadata, if anything.
pub(crate) fn size_fault(metadata: &RawMetadata) -> Option<String> {
    let (size, most) = (metadata.len(), NewEvent::MAX_METADATA_BYTES);
    (size > most).then(|| {
        format!("has {size} bytes, more than {most}; keep large content in a table of your own and enqueue its key")
    })
}

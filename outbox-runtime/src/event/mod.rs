//! The event: a row as a value, its status, its operation, and the typed view that a handler gets.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::entity::{EntityId, OnDead, Order};
use crate::metadata::RawMetadata;

mod decode; // from a row to the type, whatever version wrote it
mod difference; // in what two readings differ
mod refusal; // an answer that was not counted
mod typed; // the view of it that a handler gets
mod word; // enums that are stored as a word

pub(crate) use self::decode::decode;
pub use self::refusal::{Refusal, RefusalClass};
pub use self::typed::Event;
pub use self::word::UnknownWord;
use self::word::stored_word;

/// One local change that the remote service must learn of: a row of the outbox as a value.
///
/// Its serde form has the keys of the original Swift `Codable` (`eventType`, `entityID`, `isNewRecord`, …) and
/// ours beside them; times are RFC 3339. Reading also takes what Swift writes: times as seconds since
/// 2001-01-01, upper-case UUIDs, absent optional keys, and metadata tagged with its type.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{OutboxEvent, OutboxStatus};
///
/// let event: OutboxEvent = serde_json::from_str(r#"{
///     "id": "0190B5E2-7B1C-7CC3-8F4E-3D1A0A6C9E11", "eventType": "moodEntry",
///     "entityID": "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10", "userID": "user-1", "status": "pending",
///     "createdAt": 758550600.25, "attemptCount": 0, "maxAttempts": 5, "priority": 5, "isNewRecord": true,
///     "metadata": {"moodEntry": {"valence": 0.5, "labels": ["calm"]}}
/// }"#)?;
/// assert_eq!(event.status, OutboxStatus::Pending);
/// assert_eq!(event.created_at.to_rfc3339(), "2025-01-14T12:30:00.250+00:00");
/// assert_eq!(event.metadata.unwrap().as_str(), Some(r#"{"valence": 0.5, "labels": ["calm"]}"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxEvent {
    /// Made by the enqueueing process (UUID v7). It is the idempotency key of every attempt.
    pub id: Uuid,
    /// The store's own order: what was committed earlier has the smaller number. Zero outside a store.
    pub seq: i64,
    /// Which entity type it belongs to, as `#[outbox(event_type = "..")]` names it.
    pub event_type: String,
    /// Which entity changed.
    pub entity_id: EntityId,
    /// Whose change it is. Never empty.
    pub user_id: String,
    /// What happened to the entity.
    pub operation: Operation,
    /// Where the event is on its way.
    pub status: OutboxStatus,
    /// Higher goes first, among events that do not wait for each other.
    pub priority: i32,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it may be attempted, at the earliest.
    pub next_attempt_at: DateTime<Utc>,
    /// When it was last claimed.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// How many attempts count against it, the one in progress included.
    pub attempt_count: u32,
    /// With how many it becomes a dead letter.
    pub max_attempts: u32,
    /// What the last failed attempt said, or that the process died in it.
    pub error_message: Option<String>,
    /// When it was delivered.
    pub completed_at: Option<DateTime<Utc>>,
    /// What the handler needs to know, as JSON without a tag: the event type is beside it.
    pub metadata: Option<RawMetadata>,
    /// Which version of the entity's metadata struct wrote it. From 1.
    pub metadata_version: u32,
    /// The fencing token of the claim that holds it, while it is being processed.
    pub lease_token: Option<Uuid>,
    /// Until when that claim holds.
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Why it is dead, if it is.
    pub dead_reason: Option<DeadReason>,
    /// Which events it waits for, and which wait for it.
    pub order: Order,
    /// Whether those wait for it when it is dead.
    pub on_dead: OnDead,
    /// Where it is delivered to, as its entity or its producer says when it is enqueued. `None`: to where all events of its
    /// handler set go that name no destination.
    pub destination: Option<String>,
    /// How many attempts were given back because the event was refused while others got through:
    /// [`Disposition::Defer`](crate::store::Disposition::Defer).
    pub deferrals: u32,
    /// When the first of those was.
    pub deferred_since: Option<DateTime<Utc>>,
    /// What the last attempt that was given back or deferred was answered.
    pub last_refusal: Option<Refusal>,
    /// In how many attempts in a row the process died that had it.
    pub crashes: u32,
    /// How often a handler put it off: [`Disposition::Snooze`](crate::store::Disposition::Snooze).
    pub snoozes: u32,
    /// How often it was edited, or another folded into it. An edit of an older revision is refused.
    pub revision: u64,
}

impl OutboxEvent {
    /// Whether the remote service has not heard of the entity before: its operation is `create`.
    #[must_use]
    pub fn is_new_record(&self) -> bool {
        self.operation == Operation::Create
    }

    /// Whether it failed and will be tried again.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.status == OutboxStatus::Failed && self.attempt_count < self.max_attempts
    }

    /// Whether it waits for delivery: pending, or failed with attempts left.
    #[must_use]
    pub fn should_process(&self) -> bool {
        self.status == OutboxStatus::Pending || self.can_retry()
    }

    /// Whether it has been pending for longer than [`STALE_AFTER`](Self::STALE_AFTER).
    #[must_use]
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        self.status == OutboxStatus::Pending
            && self.created_at < crate::clock::before(now, Self::STALE_AFTER)
    }

    /// Whether others may have to wait for it: it is neither delivered nor dead and skipped.
    pub(crate) fn is_open(&self) -> bool {
        match self.status {
            OutboxStatus::Completed => false,
            OutboxStatus::Dead => self.on_dead == OnDead::Hold,
            OutboxStatus::Pending | OutboxStatus::Processing | OutboxStatus::Failed => true,
        }
    }

    /// With how many snoozes an undelivered event counts as
    /// [snoozed often](crate::OutboxStatistics::snoozed_often): 10.
    pub const SNOOZED_OFTEN: u32 = 10;

    /// How long an event may be pending before it counts as stale: 300 seconds.
    pub const STALE_AFTER: Duration = Duration::from_secs(300);
}

/// Where an event is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OutboxStatus {
    /// Waits for its first attempt.
    Pending,
    /// A handler has it, under a lease.
    Processing,
    /// Delivered.
    Completed,
    /// The last attempt failed; it will be made again at `next_attempt_at`.
    Failed,
    /// Will not be tried again unless someone says so; `dead_reason` tells why.
    Dead,
}

stored_word!(OutboxStatus, "status", {
    Pending = "pending",
    Processing = "processing",
    Completed = "completed",
    Failed = "failed",
    Dead = "dead",
});

impl OutboxStatus {
    /// For people: "Pending", "Processing", …
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Dead => "Dead",
        }
    }

    /// A sign for lists: ⏳ 🔄 ✅ ❌ 💀
    #[must_use]
    pub const fn emoji(self) -> &'static str {
        match self {
            Self::Pending => "⏳",
            Self::Processing => "🔄",
            Self::Completed => "✅",
            Self::Failed => "❌",
            Self::Dead => "💀",
        }
    }
}

/// What happened to the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is new.
    Create,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
}

stored_word!(Operation, "operation", {
    Create = "create",
    Update = "update",
    Delete = "delete",
});

/// Why an event is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// Every attempt failed.
    AttemptsExhausted,
    /// The handler said that no repetition can help.
    Rejected,
    /// The row cannot be read as its entity's event.
    Undecodable,
    /// It was refused again and again while others got through.
    DeferredOut,
    /// The process died in `max_attempts` attempts in a row.
    CrashLoop,
    /// It was snoozed as often as its entity allows.
    SnoozedOut,
}

stored_word!(DeadReason, "dead reason", {
    AttemptsExhausted = "attempts_exhausted",
    Rejected = "rejected",
    Undecodable = "undecodable",
    DeferredOut = "deferred_out",
    CrashLoop = "crash_loop",
    SnoozedOut = "snoozed_out",
});

stored_word!(Order, "order", {
    Entity = "entity",
    User = "user",
    None = "none",
});

stored_word!(OnDead, "on_dead", {
    Hold = "hold",
    Skip = "skip",
});

//! What a run did, and what is left to do.

use std::fmt;

use chrono::{DateTime, Utc};
use outbox_runtime::{EntityId, OutboxEvent, OutboxStatus, WaitsFor};

use super::listing::line;

/// What a run has done, and what it leaves: the report of [`drain`](crate::drain) and of
/// [`ManualClock::until_idle`](crate::ManualClock::until_idle).
///
/// Its `Display` is one line for each event, without metadata.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{Drained, Inline};
/// use std::time::Duration;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let handlers = HandlerSet::new().with(|_: Event<Goal>| async { Ok(()) });
/// let inline = Inline::start(store.clone(), handlers)?;
/// Goal { id: 8, user_id: "user-1".into() }
///     .enqueue_create()
///     .delay(Duration::from_secs(60))
///     .on(&store)
///     .await?;
///
/// let drained: Drained = inline.settled().await?;
/// assert!(!drained.is_empty(), "one waits for its time: {drained}");
/// let waiting = drained.waiting_for(8);
/// assert!(waiting.is_some_and(|waiting| waiting.waits_for.to_string().contains("due")));
///
/// store.delete_all_events_for_user("user-1").await?;
/// assert_eq!(inline.settled().await?.assert_empty(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Drained {
    /// The events that the run delivered, in the order in which it recorded them.
    pub delivered: Vec<OutboxEvent>,
    /// The dead letters in the store, those from before the run included.
    pub dead: Vec<OutboxEvent>,
    /// The undelivered events, in the order in which they were enqueued.
    pub waiting: Vec<Waiting>,
    /// How many outcomes are not in `delivered`, because a run keeps 256 for a listener that lags
    /// behind.
    pub missed: u64,
}

/// An undelivered event.
///
/// # Examples
///
/// ```
/// use outbox_runtime::WaitsFor;
/// use outbox_testing::{Drained, Waiting};
///
/// /// The number of events that only their time holds back.
/// fn due_later(drained: &Drained) -> usize {
///     let is_due_later = |waiting: &&Waiting| matches!(waiting.waits_for, WaitsFor::DueTime { .. });
///     drained.waiting.iter().filter(is_due_later).count()
/// }
///
/// assert_eq!(due_later(&Drained::default()), 0);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Waiting {
    /// The event.
    pub event: OutboxEvent,
    /// What the first undelivered event of its entity waits for, which is this event or one that
    /// goes before it.
    pub waits_for: WaitsFor,
}

impl Drained {
    /// Whether any event is with a handler at this time, or about to be.
    pub(super) fn is_busy(&self, now: DateTime<Utc>) -> bool {
        self.waiting.iter().any(|waiting| waiting.is_under_way(now))
    }

    /// Whether any batch waits for more events.
    pub(super) fn has_gathering(&self) -> bool {
        let mut waits = self.waiting.iter().map(|it| it.waits_for.at_last());
        waits.any(|waits_for| matches!(waits_for, WaitsFor::Batch { .. }))
    }

    /// When time alone changes something next; `None` while an event is under way, or if it never
    /// does.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_busy(now) {
            return None;
        }
        self.waiting.iter().filter_map(Waiting::ends_at).min()
    }

    /// Whether nothing is left: no event waits, and none is dead.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty() && self.waiting.is_empty()
    }

    /// Asserts that nothing is left, and returns the number of delivered events.
    ///
    /// # Panics
    ///
    /// If an event waits or is dead, with the report.
    #[track_caller]
    #[allow(
        clippy::must_use_candidate,
        reason = "the assertion is often all that is wanted"
    )]
    pub fn assert_empty(&self) -> usize {
        assert!(self.is_empty(), "not everything was delivered\n{self}");
        self.delivered.len()
    }

    /// The waiting event of this entity that goes first.
    #[must_use]
    pub fn waiting_for(&self, entity_id: impl Into<EntityId>) -> Option<&Waiting> {
        let entity_id = entity_id.into();
        let mut waiting = self.waiting.iter();
        waiting.find(|waiting| waiting.event.entity_id == entity_id)
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivered: {}", self.delivered.len())?;
        if self.missed > 0 {
            write!(f, " and {} that the report lacks", self.missed)?;
        }
        write!(f, "\ndead: {}", self.dead.len())?;
        for event in &self.dead {
            write!(f, "\n    {}", line(event))?;
            if let Some(reason) = event.dead_reason {
                write!(f, ", {reason}")?;
            }
            if let Some(message) = &event.error_message {
                write!(f, ": {message}")?;
            }
        }
        write!(f, "\nwaiting: {}", self.waiting.len())?;
        for Waiting { event, waits_for } in &self.waiting {
            write!(f, "\n    {}, waits for {waits_for}", line(event))?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Whether the event is with a handler at this time, or about to be.
    pub(super) fn is_under_way(&self, now: DateTime<Utc>) -> bool {
        // What waits for a time that has come is about to be sent, as the probe of an outage is.
        let is_due = self.ends_at().is_some_and(|at| at <= now);
        // A batch has claimed the events that it waits for others with.
        let is_claimed = self.event.status == OutboxStatus::Processing
            && !matches!(self.waits_for, WaitsFor::Batch { .. });
        let is_next = matches!(
            self.waits_for.at_last(),
            // It was delivered after it was listed.
            WaitsFor::Nothing
                | WaitsFor::Worker
                | WaitsFor::FreeHandler
                | WaitsFor::Handler { .. }
                | WaitsFor::Evidence { .. }
                | WaitsFor::Recovery(_)
                | WaitsFor::Limit { until: None, .. }
                | WaitsFor::Credentials {
                    refresh_at: None,
                    ..
                }
        );
        is_due || is_claimed || is_next
    }

    /// When the wait ends by itself, if time alone ends it.
    pub(super) fn ends_at(&self) -> Option<DateTime<Utc>> {
        match self.waits_for.at_last() {
            WaitsFor::DueTime { at, .. } => Some(*at),
            WaitsFor::Store { retry_at } => Some(*retry_at),
            WaitsFor::Pause(paused) => paused.until,
            WaitsFor::Outage(outage) => Some(outage.probe_at),
            WaitsFor::Credentials { refresh_at, .. } => *refresh_at,
            WaitsFor::Limit { until, .. } => *until,
            WaitsFor::RateLimit { until, .. } | WaitsFor::Batch { until } => Some(*until),
            _ => None,
        }
    }
}

//! Statistics and explanations: what is in the outbox, and why an entity is not delivered yet.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::claim::LeaseToken;
use crate::entity::EntityId;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus, Refusal};
use crate::outage::Outage;

/// How many events stand where. **A snapshot of one moment**: all its numbers are from one read transaction.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{MemoryStore, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let statistics = MemoryStore::new().statistics(None).await?;
/// assert_eq!(statistics.success_rate(), 100.0);
/// assert!(!statistics.has_issues());
/// println!("{statistics}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutboxStatistics {
    /// All events that the store still has.
    pub total_events: u64,
    /// Waiting for their first attempt.
    pub pending_count: u64,
    /// With a handler now.
    pub processing_count: u64,
    /// Delivered, and not cleaned up yet.
    pub completed_count: u64,
    /// Failed, and to be tried again.
    pub failed_count: u64,
    /// Given up.
    pub dead_count: u64,
    /// Completed since the outbox exists: those that the store still has, and those that clean-up deleted.
    pub completed_total: u64,
    /// Pending for more than 300 seconds.
    pub stale_count: u64,
    /// Undelivered, and refused at least once while others got through: [`OutboxEvent::deferrals`].
    pub deferred: u64,
    /// Undelivered, and put off by a handler at least ten times: [`OutboxEvent::snoozes`].
    pub snoozed_often: u64,
    /// When the oldest pending event was enqueued.
    pub oldest_pending_date: Option<DateTime<Utc>>,
    /// When the newest completed event was delivered.
    pub newest_completed_date: Option<DateTime<Utc>>,
}

/// With more pending events than this an outbox [has issues](OutboxStatistics::has_issues).
const MANY_PENDING: u64 = 20;

impl OutboxStatistics {
    /// Completed events as a percentage of all; 100 where there are none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        if self.total_events == 0 {
            100.0
        } else {
            self.completed_count as f64 / self.total_events as f64 * 100.0
        }
    }

    /// Whether somebody should have a look: something failed, is dead or stale, or more than 20 events are pending.
    #[must_use]
    pub fn has_issues(&self) -> bool {
        self.failed_count > 0
            || self.dead_count > 0
            || self.stale_count > 0
            || self.pending_count > MANY_PENDING
    }

    /// All counts on one line.
    #[must_use]
    pub fn status_summary(&self) -> String {
        self.to_string()
    }

    /// Events that are not delivered and not dead.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.pending_count + self.processing_count + self.failed_count
    }
}

impl fmt::Display for OutboxStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Total: {} | Pending: {} | Processing: {} | Completed: {} | Failed: {} | Dead: {} | Stale: {}",
            self.total_events,
            self.pending_count,
            self.processing_count,
            self.completed_count,
            self.failed_count,
            self.dead_count,
            self.stale_count
        )
    }
}

/// Where an entity stands, and what its delivery waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Which entity.
    pub entity_id: EntityId,
    /// How many of its events are not delivered.
    pub undelivered: u64,
    /// The first of them.
    pub first: Option<Box<OutboxEvent>>,
    /// What that one waits for.
    pub waits_for: WaitsFor,
}

impl Explanation {
    /// For stores: how many events of an entity are undelivered, and the first of them.
    #[must_use]
    pub fn new(
        entity_id: EntityId,
        undelivered: u64,
        first: Option<OutboxEvent>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            entity_id,
            undelivered,
            waits_for: first
                .as_ref()
                .map_or(WaitsFor::Nothing, |event| WaitsFor::of(event, now)),
            first: first.map(Box::new),
        }
    }

    /// For stores: the first event has not its turn yet, as `front` stands at the front of its lane.
    #[must_use]
    pub fn behind(mut self, front: &OutboxEvent) -> Self {
        self.waits_for = if front.status == OutboxStatus::Dead {
            WaitsFor::decision(front)
        } else {
            WaitsFor::Turn {
                event_id: front.id,
                entity_id: front.entity_id.clone(),
            }
        };
        self
    }
}

/// What the first undelivered event of an entity waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// Nothing: every event of the entity was delivered (or none was ever enqueued).
    Nothing,
    /// A worker that takes it: it is due and has its turn, so nothing in the store keeps it back. Whether a run is there, busy or
    /// paused, the store does not know: [`Running::explain`](crate::Running::explain) does.
    Worker,
    /// A free handler of this run: as many as may run at once are busy.
    FreeHandler,
    /// The store, which fails; this run leaves it alone for a moment. [`Running::health`](crate::Running::health) has its error.
    Store {
        /// When the run tries again.
        retry_at: DateTime<Utc>,
    },
    /// This run to be resumed: it is suspended.
    Resume,
    /// A run: this one has ended.
    Start,
    /// Its due time.
    DueTime {
        /// When.
        at: DateTime<Utc>,
        /// What the last attempt said, if there was one.
        last_error: Option<String>,
    },
    /// The handler that has it now.
    Handler {
        /// The process that claimed it ([`LeaseToken::process_id`]).
        process_id: Option<u32>,
        /// When the claim ends if nothing is heard of it.
        lease_expires_at: DateTime<Utc>,
    },
    /// Somebody to retry or discard it: it is dead.
    Decision {
        /// The dead event. It is the first undelivered event, or the one that that waits behind.
        event_id: Uuid,
        /// Why it is dead.
        reason: DeadReason,
        /// What the last attempt said.
        message: Option<String>,
    },
    /// Its turn: another event of its user goes first ([`Order::User`](crate::Order)), or a later one of its entity that a
    /// handler has (as it was dead and skipped, and then retried).
    Turn {
        /// The event that goes first.
        event_id: Uuid,
        /// Which entity that is about.
        entity_id: EntityId,
    },
    /// A handler for its event type; this processor has none.
    Registration {
        /// The event type.
        event_type: String,
    },
    /// The end of an outage: nobody gets through, and one event at a time is tried.
    Outage(Box<Outage>),
    /// Evidence: it was refused, and it is not clear yet whether it or the service is to blame. What is
    /// tried next decides.
    Evidence {
        /// What it was answered.
        refusal: Refusal,
    },
    /// New credentials; the user's work is paused, or tried one event after the other.
    Credentials {
        /// Since when they are refused.
        since: DateTime<Utc>,
        /// How many attempts were refused since then.
        refusals: u32,
        /// When they are refreshed next. `None`: that is being done, or they were and are tried
        /// next.
        refresh_at: Option<DateTime<Utc>>,
        /// What the last refusal said, or the last attempt to refresh them.
        last_error: String,
    },
    /// The user, who has signed out of this run.
    SignIn,
    /// The remote service's rate limit; the event's destination is paused.
    RateLimit {
        /// Since when nobody got through.
        since: DateTime<Utc>,
        /// How many attempts were refused since then.
        refusals: u32,
        /// Until when. In the past where one event is tried at the moment.
        until: DateTime<Utc>,
        /// What the last refusal said.
        last_error: String,
    },
}

impl WaitsFor {
    /// What an event that is first of its lane waits for, as far as its row tells.
    fn of(event: &OutboxEvent, now: DateTime<Utc>) -> Self {
        match event.status {
            OutboxStatus::Completed => Self::Nothing,
            OutboxStatus::Processing => Self::Handler {
                process_id: event
                    .lease_token
                    .and_then(|token| LeaseToken::from(token).process_id()),
                lease_expires_at: event.lease_expires_at.unwrap_or(now),
            },
            OutboxStatus::Dead => Self::decision(event),
            OutboxStatus::Pending | OutboxStatus::Failed if event.next_attempt_at > now => {
                let refusal = event.last_refusal.as_ref();
                let refusal = refusal.map(|refusal| refusal.message.clone());
                Self::DueTime {
                    at: event.next_attempt_at,
                    last_error: refusal.or_else(|| event.error_message.clone()),
                }
            }
            OutboxStatus::Pending | OutboxStatus::Failed => Self::Worker,
        }
    }

    /// Whether what it waits for ends by itself at that time or later, or so little before that it
    /// was meant to be the same.
    pub(crate) fn is_until(&self, time: DateTime<Utc>) -> bool {
        const A_MOMENT: TimeDelta = TimeDelta::milliseconds(1);
        let until = match self {
            Self::DueTime { at, .. } => Some(*at),
            Self::Outage(outage) => Some(outage.probe_at),
            Self::RateLimit { until, .. } => Some(*until),
            Self::Credentials { refresh_at, .. } => *refresh_at,
            _ => None,
        };
        until.is_some_and(|until| time - until < A_MOMENT)
    }

    fn decision(dead: &OutboxEvent) -> Self {
        Self::Decision {
            event_id: dead.id,
            reason: dead.dead_reason.unwrap_or(DeadReason::Undecodable),
            message: dead.error_message.clone(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entity_id,
            undelivered,
            waits_for,
            ..
        } = self;
        if *waits_for == WaitsFor::Nothing {
            return write!(f, "{entity_id}: nothing is undelivered");
        }
        write!(
            f,
            "{entity_id}: {undelivered} undelivered, the first waits for {waits_for}"
        )
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Worker => f.write_str(
                "a worker to take it (the store does not know whether one is there, busy or paused)",
            ),
            Self::FreeHandler => f.write_str("a free handler of this run"),
            Self::Store { retry_at } => {
                write!(f, "the store, which fails; it is tried again at {retry_at}")
            }
            Self::Resume => f.write_str("this run to be resumed"),
            Self::Start => f.write_str("a run; this one has ended"),
            Self::DueTime {
                at,
                last_error: None,
            } => write!(f, "its time, {at}"),
            Self::DueTime {
                at,
                last_error: Some(error),
            } => {
                write!(f, "its next attempt at {at}; the last one said: {error}")
            }
            Self::Handler {
                process_id,
                lease_expires_at,
            } => {
                f.write_str("its handler")?;
                if let Some(process_id) = process_id {
                    write!(f, " in process {process_id}")?;
                }
                write!(f, ", which has it until {lease_expires_at}")
            }
            Self::Decision {
                event_id,
                reason,
                message,
            } => {
                write!(f, "a decision: event {event_id} is dead ({reason})")?;
                message
                    .as_ref()
                    .map_or(Ok(()), |text| write!(f, ": {text}"))
            }
            Self::Turn {
                event_id,
                entity_id,
            } => write!(f, "its turn, after event {event_id} of entity {entity_id}"),
            Self::Registration { event_type } => write!(f, "a handler for {event_type:?}"),
            Self::Outage(outage) => write!(f, "the end of an outage of {outage}"),
            Self::Evidence { refusal } => write!(
                f,
                "evidence of whether it or the service is to blame; it was refused: {refusal}"
            ),
            Self::Credentials {
                since,
                refusals,
                refresh_at,
                last_error,
            } => {
                write!(
                    f,
                    "new credentials of its user: {refusals} attempts were refused since {since}, the \
                     last one with: {last_error}"
                )?;
                refresh_at
                    .as_ref()
                    .map_or(Ok(()), |at| write!(f, "; they are refreshed at {at}"))
            }
            Self::SignIn => f.write_str("its user, who has signed out"),
            Self::RateLimit {
                since,
                refusals,
                until,
                last_error,
            } => write!(
                f,
                "the remote service's rate limit, until {until}: {refusals} attempts were refused since \
                 {since}, the last one with: {last_error}"
            ),
        }
    }
}

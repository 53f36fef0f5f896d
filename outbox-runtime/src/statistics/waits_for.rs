//! What an event waits for.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::claim::LeaseToken;
use crate::entity::EntityId;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus, Refusal};
use crate::outage::{Outage, OutageExtent};
use crate::pause::Paused;

/// What the first undelivered event of an entity waits for.
///
/// The guide has what ends each wait:
/// [waits](https://docs.rs/outbox-guide/latest/outbox_guide/waits/).
///
/// # Examples
///
/// ```
/// use outbox_runtime::WaitsFor;
///
/// /// What the app shows beside an entity.
/// fn badge(waits_for: &WaitsFor) -> &'static str {
///     match waits_for {
///         WaitsFor::Nothing => "synchronized",
///         WaitsFor::Outage(_) | WaitsFor::RateLimit { .. } => "waiting for the service",
///         WaitsFor::Credentials { .. } | WaitsFor::SignIn => "sign in to synchronize",
///         WaitsFor::Decision { .. } => "could not be synchronized",
///         _ => "will be synchronized",
///     }
/// }
///
/// assert_eq!(badge(&WaitsFor::Nothing), "synchronized");
/// assert_eq!(badge(&WaitsFor::FreeHandler), "will be synchronized");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// Nothing: every event of the entity was delivered, or none was ever enqueued for the user in
    /// question.
    Nothing,
    /// A worker: the event is due and first in its lane, so nothing in the store holds it back. The
    /// store does not know whether a run exists, is busy or is paused;
    /// [`Running::explain`](crate::Running::explain) does. A run that answers so is about to claim
    /// the event.
    Worker,
    /// A worker to end it: the event expired, and is not sent any more. The next claim that reaches
    /// it makes it a dead letter or deletes it, as its type says.
    Expiry {
        /// When it expired.
        at: DateTime<Utc>,
    },
    /// A free handler: this run's concurrency limit is reached.
    FreeHandler,
    /// A limit of its destination, which the application set with
    /// [`limit`](crate::ProcessorBuilder::limit) or [`pace`](crate::ProcessorBuilder::pace).
    Limit {
        /// The destination.
        destination: Option<String>,
        /// When the pace allows the next call. `None`: as many calls as may be are under way.
        until: Option<DateTime<Utc>>,
    },
    /// The store: it fails, and this run backs off. [`Running::health`](crate::Running::health) has
    /// the error.
    Store {
        /// When the run retries.
        retry_at: DateTime<Utc>,
    },
    /// This run to be resumed: it is suspended.
    Resume,
    /// A new run: this one has ended.
    Start,
    /// The due time of the event.
    DueTime {
        /// The due time.
        at: DateTime<Utc>,
        /// The error of the last attempt, if there was one.
        last_error: Option<String>,
    },
    /// The end of a pause: an operator [holds the event back](crate::OutboxRepository::pause).
    Pause(Box<Paused>),
    /// The handler that is processing the event.
    Handler {
        /// The process that claimed the event ([`LeaseToken::process_id`]).
        process_id: Option<u32>,
        /// When the claim expires unless it is renewed.
        lease_expires_at: DateTime<Utc>,
    },
    /// A decision to retry or discard: the event, or one ahead of it, is a dead letter.
    Decision {
        /// The dead letter: the first undelivered event, or the one that it waits behind.
        event_id: Uuid,
        /// Why it is dead.
        reason: DeadReason,
        /// The error of the last attempt.
        message: Option<String>,
    },
    /// Its turn: another event of its user goes first ([`Order::User`](crate::Order)), or a handler
    /// is processing a later event of its entity (because this one was dead, skipped and then
    /// retried).
    Turn {
        /// The event that goes first.
        event_id: Uuid,
        /// The entity of that event.
        entity_id: EntityId,
    },
    /// The creation of another entity to be delivered: see
    /// [`Enqueue::after`](crate::Enqueue::after). If that one is a dead letter, it waits for a
    /// [`Decision`](Self::Decision).
    Parent {
        /// The event that creates the other entity.
        event_id: Uuid,
        /// Its type.
        event_type: String,
        /// The other entity.
        entity_id: EntityId,
        /// What that event waits for: perhaps for a parent of its own.
        then: Box<Self>,
    },
    /// A handler for its event type; this processor has none.
    Registration {
        /// The event type.
        event_type: String,
    },
    /// Nothing that will happen by itself: its event type is retired with
    /// [`hold`](crate::support::Retirement::Hold), so no run claims it.
    Retired {
        /// The event type.
        event_type: String,
    },
    /// The end of an outage: no request gets through, and one event at a time is sent as a probe.
    Outage(Box<Outage>),
    /// A service to recover: others of this extent were refused lately, so only a few attempts are
    /// under way at once, and the event is not among them.
    Recovery(OutageExtent),
    /// Evidence: the event was refused, and the next attempts decide whether the event or the
    /// service is to blame.
    Evidence {
        /// The answer.
        refusal: Refusal,
    },
    /// Others of its batch: its handler gets several events at once.
    Batch {
        /// When the batch is sent at the latest.
        until: DateTime<Utc>,
    },
    /// New credentials: the user's work is paused, or sent one event at a time.
    Credentials {
        /// Since when the credentials have been refused.
        since: DateTime<Utc>,
        /// The number of refused attempts since then.
        refusals: u32,
        /// When the credentials are next refreshed. `None`: a refresh is in progress, or has
        /// completed and the new credentials are tried next.
        refresh_at: Option<DateTime<Utc>>,
        /// The message of the last refusal, or the error of the last refresh.
        last_error: String,
    },
    /// The user, who signed out of this run.
    SignIn,
    /// The remote service's rate limit: the event's destination is paused.
    RateLimit {
        /// Since when no request got through.
        since: DateTime<Utc>,
        /// The number of refused attempts since then.
        refusals: u32,
        /// The end of the pause. In the past while one event is sent as a probe.
        until: DateTime<Utc>,
        /// The message of the last refusal.
        last_error: String,
    },
}

impl WaitsFor {
    /// What the first event of a lane waits for, as far as its row shows.
    pub(super) fn of(event: &OutboxEvent, now: DateTime<Utc>) -> Self {
        match event.status {
            OutboxStatus::Completed => Self::Nothing,
            OutboxStatus::Processing => Self::Handler {
                process_id: event
                    .lease_token
                    .and_then(|token| LeaseToken::from(token).process_id()),
                lease_expires_at: event.lease_expires_at.unwrap_or(now),
            },
            OutboxStatus::Dead => Self::decision(event),
            OutboxStatus::Pending | OutboxStatus::Failed if event.is_expired(now) => Self::Expiry {
                at: event.expires_at.unwrap_or(now),
            },
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

    /// Whether the wait ends by itself at that time or later, or so little before that both were
    /// meant to be the same time.
    pub(crate) fn is_until(&self, time: DateTime<Utc>) -> bool {
        const TOLERANCE: TimeDelta = TimeDelta::milliseconds(1);
        let until = match self {
            Self::DueTime { at, .. } => Some(*at),
            Self::Outage(outage) => Some(outage.probe_at),
            Self::RateLimit { until, .. } => Some(*until),
            Self::Credentials { refresh_at, .. } => *refresh_at,
            Self::Limit { until, .. } => *until,
            _ => None,
        };
        until.is_some_and(|until| time - until < TOLERANCE)
    }

    /// What the wait comes down to: for an event with parents, what the last of them waits for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::WaitsFor;
    /// assert_eq!(WaitsFor::Worker.at_last(), &WaitsFor::Worker);
    /// ```
    #[must_use]
    pub fn at_last(&self) -> &Self {
        let mut last = self;
        while let Self::Parent { then, .. } = last {
            last = then;
        }
        last
    }

    /// The same, to be replaced.
    pub(crate) fn at_last_mut(&mut self) -> &mut Self {
        match self {
            Self::Parent { then, .. } => then.at_last_mut(),
            last => last,
        }
    }

    /// The event that creates the last parent of the chain.
    pub(crate) fn last_parent(&self) -> Option<Uuid> {
        match self {
            Self::Parent { event_id, then, .. } => then.last_parent().or(Some(*event_id)),
            _ => None,
        }
    }

    /// What an event behind the front of a lane waits for.
    pub(super) fn turn(front: &OutboxEvent) -> Self {
        match front.status {
            OutboxStatus::Dead => Self::decision(front),
            _ => Self::Turn {
                event_id: front.id,
                entity_id: front.entity_id.clone(),
            },
        }
    }

    fn decision(dead: &OutboxEvent) -> Self {
        Self::Decision {
            event_id: dead.id,
            reason: dead.dead_reason.unwrap_or(DeadReason::Undecodable),
            message: dead.error_message.clone(),
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Worker => f.write_str(
                "a worker to claim it (the store does not know whether one is running, busy or paused)",
            ),
            Self::Expiry { at } => write!(
                f,
                "a worker to end it: it expired at {at} and is not sent any more"
            ),
            Self::FreeHandler => f.write_str("a free handler of this run"),
            Self::Limit { destination, until } => {
                match until {
                    Some(until) => write!(f, "its turn in the pace of calls, at {until}")?,
                    None => f.write_str("one of the calls that are under way to end")?,
                }
                match destination {
                    Some(destination) => write!(f, ": destination {destination:?} has a limit"),
                    None => f.write_str(": events without a destination have a limit"),
                }
            }
            Self::Store { retry_at } => {
                write!(f, "the store, which fails; the next try is at {retry_at}")
            }
            Self::Resume => f.write_str("this run to be resumed"),
            Self::Start => f.write_str("a new run; this one has ended"),
            Self::DueTime {
                at,
                last_error: None,
            } => write!(f, "its due time, {at}"),
            Self::DueTime {
                at,
                last_error: Some(error),
            } => {
                write!(f, "its next attempt at {at}; the last error: {error}")
            }
            Self::Pause(paused) => write!(f, "the end of {paused}"),
            Self::Handler {
                process_id,
                lease_expires_at,
            } => {
                f.write_str("its handler")?;
                if let Some(process_id) = process_id {
                    write!(f, " in process {process_id}")?;
                }
                write!(f, ", which holds it until {lease_expires_at}")
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
            Self::Parent {
                event_id,
                event_type,
                entity_id,
                then,
            } => write!(
                f,
                "event {event_id}, which creates {event_type} {entity_id}; that event waits for {then}"
            ),
            Self::Registration { event_type } => write!(f, "a handler for {event_type:?}"),
            Self::Retired { event_type } => write!(
                f,
                "nothing that will happen by itself: {event_type:?} is retired and its events are held"
            ),
            Self::Outage(outage) => write!(f, "the end of an outage of {outage}"),
            Self::Recovery(extent) => write!(
                f,
                "{extent} to recover: it gets few attempts at a time, since others were refused"
            ),
            Self::Evidence { refusal } => write!(
                f,
                "evidence whether the event or the service is to blame; it was refused: {refusal}"
            ),
            Self::Batch { until } => {
                write!(f, "others of its batch, until {until} at the latest")
            }
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
                    .map_or(Ok(()), |at| write!(f, "; the next refresh is at {at}"))
            }
            Self::SignIn => f.write_str("its user to sign in again"),
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

//! The outcome of an attempt. This file is the state machine; stores write what it decides.
//!
//! [`Outcome::settle`] decides what an answer means; [`TRANSITIONS`] lists every allowed transition
//! of an event.
//!
//! | a handler's answer | attempt | next |
//! |---|---|---|
//! | success, obsolete | kept | completed; deleted where delivered events are not kept |
//! | retry, panic, timeout | kept | failed, due later; dead when attempts are used up |
//! | permanent | kept | dead, [`Rejected`](DeadReason::Rejected) |
//! | undecodable row | kept | dead, [`Undecodable`](DeadReason::Undecodable) |
//! | offline, unauthenticated, rate limited, no handler, shutdown | given back | as before, due |
//! | refused while others got through | given back, a deferral counted | as before, due later; dead, [`DeferredOut`](DeadReason::DeferredOut), after [`MAX_DEFERRALS`] |
//! | snooze | given back, a snooze counted | as before, due later; dead, [`SnoozedOut`](DeadReason::SnoozedOut), after `max_snoozes` |
//! | expired before its handler began | kept | dead, [`Expired`](DeadReason::Expired); or deleted, as its type says |
//! | process died | given back, a crash counted | as before, due when the lease ends |
//! | process died, `max_attempts` times in a row | given back | dead, [`CrashLoop`] |
//! | none: the type is retired with `drop` | kept | completed; deleted where delivered events are not kept |
//! | none: the type is retired with `dead` | kept | dead, [`Retired`](DeadReason::Retired) |
//! | lease lost | | nothing is written: the holder of the newer lease decides |
//!
//! "As before" is the status before the claim. [`rescue`](crate::store::OutboxQueue::rescue)
//! detects that a process died.
//!
//! [`CrashLoop`]: DeadReason::CrashLoop

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::claim::{Claim, Lease};
use crate::clock;
use crate::entity::{OnDead, OnExpiry};
use crate::event::{DeadReason, Refusal};
use crate::retry::RetryPolicy;

mod transition; // every allowed transition

pub use self::transition::{
    Attempts, Cause, LeaseChange, Place, Standing, TRANSITIONS, Transition, When,
};

/// The result of one attempt, before its effect on the event is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The remote service accepted the event, or no longer wants it.
    Delivered,
    /// The attempt failed and a later one may succeed.
    Retry {
        /// The error.
        message: String,
        /// The earliest time of the next attempt that the remote service asked for, from now.
        not_before: Option<Duration>,
    },
    /// No later attempt can succeed.
    Dead {
        /// The reason.
        reason: DeadReason,
        /// The error.
        message: String,
    },
    /// Like [`Retry`](Self::Retry), but without sufficient evidence that the event is to blame. The
    /// attempt counts, and the event is attempted again even if this was its last attempt; that
    /// extra attempt decides.
    RetryUndecided {
        /// The error.
        message: String,
        /// The earliest time of the next attempt that the remote service asked for, from now.
        not_before: Option<Duration>,
    },
    /// The event was refused for a reason that does not count as an attempt, while other events got
    /// through. It is attempted again on a separate schedule, at most [`MAX_DEFERRALS`] times.
    Deferred {
        /// The answer.
        refusal: Refusal,
        /// The earliest time of the next attempt that the remote service asked for, from now.
        not_before: Option<Duration>,
        /// The pause of the rate limit that the event met, which is its delay; it doubles each time
        /// from the seventh deferral on. `None`: the delay follows the retry schedule and then
        /// doubles each time.
        base: Option<Duration>,
    },
    /// The attempt does not count.
    GivenBack {
        /// The delay until the next attempt.
        delay: Duration,
        /// The answer, if there was one.
        refusal: Option<Refusal>,
    },
    /// The handler snoozed the event; the attempt does not count.
    Snoozed {
        /// The delay until the next attempt. At least 100 ms, and at least a second from the tenth
        /// snooze on.
        delay: Duration,
        /// The maximum number of snoozes; the next one makes the event a dead letter. `None`:
        /// unlimited.
        bound: Option<u32>,
    },
    /// The event [expired](crate::Enqueue::expires_at) before its handler began.
    Expired {
        /// The setting of its type.
        on_expiry: OnExpiry,
    },
}

/// What a store writes for a claimed event if the lease is still valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lease of the attempt.
    pub lease: Lease,
    /// The new state.
    pub disposition: Disposition,
}

/// The new state of a row after an attempt.
///
/// Every disposition resets [`crashes`](crate::OutboxEvent::crashes) to 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Status completed. The next event of the lane may proceed.
    Complete,
    /// Like [`Complete`](Self::Complete), and the event is cleaned up in the same commit, for
    /// processors that keep no delivered events. It counts as
    /// [cleaned up](crate::OutboxRepository::delete_completed_events): the statistics keep its
    /// number, and nothing keeps its id.
    Remove,
    /// Like [`Remove`](Self::Remove), for an event that expired and whose type
    /// [drops](OnExpiry::Drop) such events. It was not delivered, and is counted with those that
    /// are gone.
    Drop,
    /// Status failed, due at `next_attempt_at`.
    Fail {
        /// When the event may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// The error.
        message: String,
    },
    /// Status dead. Later events of the lane wait, unless the event is
    /// [skipped](crate::OnDead::Skip), as one with the reason [`Expired`](DeadReason::Expired)
    /// always is.
    Bury {
        /// The reason.
        reason: DeadReason,
        /// The error.
        message: String,
    },
    /// The attempt is uncounted, and the status is restored to that before the claim.
    GiveBack {
        /// When the event may be attempted again; `None` keeps its due time, and therefore its
        /// place.
        next_attempt_at: Option<DateTime<Utc>>,
        /// The answer, recorded as [`last_refusal`](crate::OutboxEvent::last_refusal). `None` keeps
        /// the recorded one.
        refusal: Option<Refusal>,
    },
    /// Like [`GiveBack`](Self::GiveBack), for an event that was refused while others got through.
    /// Increments [`deferrals`](crate::OutboxEvent::deferrals) and sets
    /// [`deferred_since`](crate::OutboxEvent::deferred_since) to now if it is not set.
    Defer {
        /// When the event may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// The answer, recorded as [`last_refusal`](crate::OutboxEvent::last_refusal).
        refusal: Refusal,
    },
    /// Like [`GiveBack`](Self::GiveBack), for an event that its handler snoozed. Increments
    /// [`snoozes`](crate::OutboxEvent::snoozes).
    Snooze {
        /// When the event may be attempted again.
        next_attempt_at: DateTime<Utc>,
    },
}

/// The result of writing a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// The store wrote it.
    Recorded,
    /// The handler completed the event under this lease, in a transaction of the application:
    /// [`complete_on`](crate::OutboxEvent::complete_on). The event stays completed, whatever the
    /// settlement says. Answered once.
    AlreadyCompleted,
    /// Somebody holds the event locked, most often the transaction of the application in which its
    /// handler has [completed](crate::OutboxEvent::complete_on) it, and a worker must not wait for
    /// that. Nothing was written, and the lease is still that of its holder: settle it again later.
    /// Only a store whose rows are locked one by one answers this.
    Locked,
    /// The lease had expired, another worker holds the event, or the event was deleted. Nothing was
    /// written.
    LeaseLost,
}

impl Disposition {
    /// The cause of the transition. [`Remove`](Self::Remove) and [`Drop`](Self::Drop) add
    /// [`Cause::CleanUp`].
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Complete | Self::Remove | Self::Drop => Cause::Complete,
            Self::Fail { .. } => Cause::Fail,
            Self::Bury { .. } => Cause::Bury,
            Self::GiveBack { .. } => Cause::GiveBack,
            Self::Defer { .. } => Cause::Defer,
            Self::Snooze { .. } => Cause::Snooze,
        }
    }
}

impl Disposition {
    /// Whether the event stands in the store afterward.
    #[must_use]
    pub const fn keeps_the_event(&self) -> bool {
        !matches!(self, Self::Remove | Self::Drop)
    }

    /// Whether later events wait if the event is dead after this.
    #[must_use]
    pub const fn on_dead(&self, before: OnDead) -> OnDead {
        match self {
            Self::Bury {
                reason: DeadReason::Expired,
                ..
            } => OnDead::Skip,
            _ => before,
        }
    }

    /// The same, but not due later than the event expires: it is looked at again then.
    fn until(mut self, expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let due = match &mut self {
            Self::Fail {
                next_attempt_at, ..
            }
            | Self::Defer {
                next_attempt_at, ..
            }
            | Self::Snooze { next_attempt_at } => Some(next_attempt_at),
            Self::GiveBack {
                next_attempt_at, ..
            } => next_attempt_at.as_mut(),
            Self::Complete | Self::Remove | Self::Drop | Self::Bury { .. } => None,
        };
        if let (Some(due), Some(expires_at)) = (due, expires_at) {
            *due = (*due).min(expires_at.max(now));
        }
        self
    }
}

/// The maximum length of a stored error message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000;

impl Outcome {
    /// Decides the effect of the outcome on the claimed event, as in the table above. No attempt is
    /// put off beyond the time at which the event expires.
    #[must_use]
    pub fn settle(self, claim: &Claim, policy: &RetryPolicy, now: DateTime<Utc>) -> Settlement {
        let event = &claim.event;
        let disposition = match self {
            Self::Delivered => Disposition::Complete,
            Self::Retry { message, .. } if event.attempt_count >= event.max_attempts => {
                bury(DeadReason::AttemptsExhausted, &message)
            }
            // An earlier attempt was already the last one, and was undecided as well.
            Self::RetryUndecided { message, .. } if event.attempt_count > event.max_attempts => {
                bury(DeadReason::AttemptsExhausted, &message)
            }
            Self::Retry {
                message,
                not_before,
            }
            | Self::RetryUndecided {
                message,
                not_before,
            } => {
                let delay = policy.delay(event.attempt_count, event.id);
                Disposition::Fail {
                    next_attempt_at: clock::after(now, delay.max(not_before.unwrap_or_default())),
                    message: bounded(&message),
                }
            }
            Self::Expired {
                on_expiry: OnExpiry::Drop,
            } => Disposition::Drop,
            Self::Expired {
                on_expiry: OnExpiry::Dead,
            } => {
                let message = event.expires_at.map_or_else(
                    || "it expired".to_owned(),
                    |at| {
                        format!(
                            "it expired at {}",
                            at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
                        )
                    },
                );
                bury(DeadReason::Expired, &message)
            }
            Self::Dead { reason, message } => bury(reason, &message),
            Self::Deferred { refusal, .. }
                if event.deferrals.saturating_add(1) >= MAX_DEFERRALS =>
            {
                bury(DeadReason::DeferredOut, &refusal.message)
            }
            Self::Deferred {
                refusal,
                not_before,
                base,
            } => {
                let count = event.deferrals.saturating_add(1);
                let delay = match base {
                    Some(base) => limited(base, count),
                    None => deferral(policy, count, event.id),
                };
                Disposition::Defer {
                    next_attempt_at: clock::after(now, delay.max(not_before.unwrap_or_default())),
                    refusal,
                }
            }
            Self::GivenBack { delay, refusal } => Disposition::GiveBack {
                next_attempt_at: (!delay.is_zero()).then(|| clock::after(now, delay)),
                refusal,
            },
            Self::Snoozed { bound, .. } if bound.is_some_and(|bound| event.snoozes >= bound) => {
                let message = format!(
                    "it was put off {} times, and may not be again",
                    event.snoozes
                );
                bury(DeadReason::SnoozedOut, &message)
            }
            Self::Snoozed { delay, .. } => {
                let shortest = if event.snoozes.saturating_add(1) >= MANY_SNOOZES {
                    Duration::from_secs(1)
                } else {
                    Duration::from_millis(100)
                };
                Disposition::Snooze {
                    next_attempt_at: clock::after(now, delay.max(shortest)),
                }
            }
        };
        Settlement {
            lease: claim.lease,
            disposition: disposition.until(event.expires_at, now),
        }
    }
}

fn bury(reason: DeadReason, message: &str) -> Disposition {
    Disposition::Bury {
        reason,
        message: bounded(message),
    }
}

/// The number of deferrals at which an event becomes a dead letter. With the default retry schedule
/// this takes 8.8 days.
pub const MAX_DEFERRALS: u32 = 20;

/// The number of snoozes from which an event is reported.
pub const MANY_SNOOZES: u32 = 10;

/// The longest deferral, unless the service asks for more.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The delay after deferral number `count` (from 1): the retry schedule, then doubled each time, up
/// to a day.
fn deferral(policy: &RetryPolicy, count: u32, id: uuid::Uuid) -> Duration {
    let steps = u32::try_from(policy.schedule().len()).unwrap_or(u32::MAX);
    let delay = policy.delay(count.min(steps), id);
    doubled(
        delay.max(Duration::from_secs(1)),
        count.saturating_sub(steps),
    )
}

/// The number of deferrals under a rate limit that can be bad luck; later ones double the delay.
const UNLUCKY: u32 = 6;

/// The delay after deferral number `count` under a rate limit: the pause, and after `UNLUCKY`
/// deferrals doubled each time.
fn limited(base: Duration, count: u32) -> Duration {
    doubled(base, count.saturating_sub(UNLUCKY))
}

fn doubled(delay: Duration, times: u32) -> Duration {
    delay
        .saturating_mul(2_u32.saturating_pow(times))
        .min(LONGEST_DEFERRAL)
}

/// The error of an attempt without a reported outcome, written by
/// [`rescue`](crate::store::OutboxQueue::rescue).
pub const LEASE_EXPIRED: &str =
    "the lease ended without an outcome: the process that held it died or stalled";

/// Makes an error message safe to store and display: bounded, on one line, without control
/// characters.
///
/// A message that cannot be stored would prevent the failure from being recorded.
#[must_use]
pub fn bounded(message: &str) -> String {
    let mut text = String::with_capacity(message.len().min(MAX_MESSAGE_BYTES));
    for c in message.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if text.len() + c.len_utf8() > MAX_MESSAGE_BYTES {
            text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES - '…'.len_utf8()));
            text.push('…');
            break;
        }
        text.push(c);
    }
    text
}

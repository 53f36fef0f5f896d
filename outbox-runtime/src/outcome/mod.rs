//! The outcome: what becomes of an attempt. This file is the state machine; stores only write what it decides.
//!
//! [`Outcome::settle`] decides what an answer means, [`TRANSITIONS`] what may happen to an event at all.
//!
//! | a handler's answer | attempt | next |
//! |---|---|---|
//! | success, obsolete | kept | completed |
//! | retry, panic, timeout | kept | failed, due later; dead when attempts are used up |
//! | permanent | kept | dead, [`Rejected`](DeadReason::Rejected) |
//! | cannot be decoded | kept | dead, [`Undecodable`](DeadReason::Undecodable) |
//! | offline, unauthenticated, rate limited, no handler, shutdown | given back | as it was before the claim, due at once |
//! | refused while others got through | given back, a deferral counted | as it was before the claim, due later |
//! | snooze | given back, a snooze counted | as it was before the claim, due later |
//! | process died | given back, a crash counted | as it was before the claim, due when the lease ends; dead, [`CrashLoop`](DeadReason::CrashLoop), with the `max_attempts`-th crash in a row ([`rescue`](crate::OutboxRepository::rescue)) |
//! | lease lost | | nothing is written: whoever holds the newer lease decides |

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Claim, Lease};
use crate::clock;
use crate::event::{DeadReason, Refusal};
use crate::retry::RetryPolicy;

mod transition; // all that may happen to an event

pub use self::transition::{
    Attempts, Cause, LeaseChange, Place, Standing, TRANSITIONS, Transition, When,
};

/// What became of one attempt, before it is known what that means for the event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The remote service has it, or does not want it any more.
    Delivered,
    /// It may go better next time.
    Retry {
        /// What went wrong.
        message: String,
        /// The earliest time that the remote service asked for, from now.
        not_before: Option<Duration>,
    },
    /// No repetition can help.
    Dead {
        /// Why.
        reason: DeadReason,
        /// What went wrong.
        message: String,
    },
    /// The same, where it is not certain enough that the event is to blame: it counts, and the event
    /// comes again even where that was its last attempt. The next one decides.
    RetryUndecided {
        /// What went wrong.
        message: String,
        /// The earliest time that the remote service asked for, from now.
        not_before: Option<Duration>,
    },
    /// It was refused for a reason that attempts are not counted for, while others got through: it
    /// comes again on a schedule of its own, [`MAX_DEFERRALS`] times at most.
    Deferred {
        /// What it was answered.
        refusal: Refusal,
        /// The earliest time that the remote service asked for, from now.
        not_before: Option<Duration>,
        /// The pause of the rate limit that it met: how long it waits, from the seventh time on
        /// twice as long each time. `None`: the retry schedule, and then twice as long each time.
        base: Option<Duration>,
    },
    /// It was not really an attempt; it does not count.
    GivenBack {
        /// How long to leave it alone.
        delay: Duration,
        /// What it was answered, if it was.
        refusal: Option<Refusal>,
    },
    /// Its handler puts it off; it does not count.
    Snoozed {
        /// How long to leave it alone. At least 100 ms, and from the tenth time on at least a second.
        delay: Duration,
        /// How often it may be put off; the next time it is dead. `None`: without end.
        bound: Option<u32>,
    },
}

/// What a store writes for one claimed event, if the lease still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lease under which the attempt was made.
    pub lease: Lease,
    /// What to write.
    pub disposition: Disposition,
}

/// The row after an attempt.
///
/// Each of these ends a row of crashes: [`crashes`](crate::OutboxEvent::crashes) is 0 afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Status completed. The next event of the lane may go.
    Complete,
    /// Status failed, due at `next_attempt_at`.
    Fail {
        /// When it may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// What went wrong.
        message: String,
    },
    /// Status dead. Later events of the lane wait, unless it is [skipped](crate::OnDead::Skip).
    Bury {
        /// Why.
        reason: DeadReason,
        /// What went wrong.
        message: String,
    },
    /// The attempt is taken off the count, and the status is what it was before the claim.
    GiveBack {
        /// When it may be attempted again; `None` leaves its due time, and so its place among others, as it was.
        next_attempt_at: Option<DateTime<Utc>>,
        /// What it was answered, to be noted as its [`last_refusal`](crate::OutboxEvent::last_refusal). `None` leaves that as it was.
        refusal: Option<Refusal>,
    },
    /// The same for an event that was refused while others got through: one more of its
    /// [`deferrals`](crate::OutboxEvent::deferrals), and [`deferred_since`](crate::OutboxEvent::deferred_since) is now, unless it is set.
    Defer {
        /// When it may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// What it was answered, to be noted as its [`last_refusal`](crate::OutboxEvent::last_refusal).
        refusal: Refusal,
    },
    /// The same for an event that its handler puts off: one more of its [`snoozes`](crate::OutboxEvent::snoozes).
    Snooze {
        /// When it may be attempted again.
        next_attempt_at: DateTime<Utc>,
    },
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It was written.
    Recorded,
    /// The lease had expired, another worker holds the event, or the event was deleted. Nothing was written.
    LeaseLost,
}

impl Disposition {
    /// What it is to the event.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Complete => Cause::Complete,
            Self::Fail { .. } => Cause::Fail,
            Self::Bury { .. } => Cause::Bury,
            Self::GiveBack { .. } => Cause::GiveBack,
            Self::Defer { .. } => Cause::Defer,
            Self::Snooze { .. } => Cause::Snooze,
        }
    }
}

/// The longest error text that is kept, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000;

impl Outcome {
    /// Decides what the outcome means for the claimed event: the table above as code.
    #[must_use]
    pub fn settle(self, claim: &Claim, policy: &RetryPolicy, now: DateTime<Utc>) -> Settlement {
        let event = &claim.event;
        let disposition = match self {
            Self::Delivered => Disposition::Complete,
            Self::Retry { message, .. } if event.attempt_count >= event.max_attempts => {
                bury(DeadReason::AttemptsExhausted, &message)
            }
            // An earlier attempt was the last one already, and was not certain enough, either.
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
            disposition,
        }
    }
}

fn bury(reason: DeadReason, message: &str) -> Disposition {
    Disposition::Bury {
        reason,
        message: bounded(message),
    }
}

/// An event that is refused so often while others get through is dead, which takes 8.8 days with the
/// default retry schedule.
pub const MAX_DEFERRALS: u32 = 20;

/// From so many snoozes on, people are told.
pub const MANY_SNOOZES: u32 = 10;

/// The longest time that an event is deferred for, unless the service asks for more.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait after the `count`-th deferral (from 1): the retry schedule, then twice as long each
/// time, up to a day.
fn deferral(policy: &RetryPolicy, count: u32, id: uuid::Uuid) -> Duration {
    let steps = u32::try_from(policy.schedule().len()).unwrap_or(u32::MAX);
    let delay = policy.delay(count.min(steps), id);
    doubled(
        delay.max(Duration::from_secs(1)),
        count.saturating_sub(steps),
    )
}

/// After so many deferrals under a rate limit an event is not just unlucky.
const UNLUCKY: u32 = 6;

/// How long to wait after the `count`-th deferral under a rate limit: a pause, and from then on
/// twice as long each time.
fn limited(base: Duration, count: u32) -> Duration {
    doubled(base, count.saturating_sub(UNLUCKY))
}

fn doubled(delay: Duration, times: u32) -> Duration {
    delay
        .saturating_mul(2_u32.saturating_pow(times))
        .min(LONGEST_DEFERRAL)
}

/// What [`rescue`](crate::OutboxRepository::rescue) writes as the error of an attempt that nobody reported.
pub(crate) const LEASE_EXPIRED: &str =
    "the lease ended without an outcome: the process that held it died or stalled";

/// Makes an error text fit to be stored and shown: bounded, on one line, without control characters.
///
/// A text that cannot be stored would keep the failure from being recorded at all.
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

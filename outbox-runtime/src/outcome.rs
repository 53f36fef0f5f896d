//! The outcome: what becomes of an attempt. This file is the state machine; stores only write what it decides.
//!
//! | a handler's answer | attempt | next |
//! |---|---|---|
//! | success, obsolete | kept | completed |
//! | retry, panic, timeout | kept | failed, due later; dead when attempts are used up |
//! | permanent | kept | dead, [`Rejected`](DeadReason::Rejected) |
//! | cannot be decoded | kept | dead, [`Undecodable`](DeadReason::Undecodable) |
//! | offline, unauthenticated, rate limited, no handler, shutdown | given back | as it was before the claim, due at once |
//! | snooze | given back | as it was before the claim, due later |
//! | process died | kept | failed, due when the lease ends; dead when attempts are used up ([`rescue`](crate::OutboxRepository::rescue)) |
//! | lease lost | | nothing is written: whoever holds the newer lease decides |

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Claim, Lease};
use crate::clock;
use crate::event::DeadReason;
use crate::retry::RetryPolicy;

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
    /// It was not really an attempt; it does not count.
    GivenBack {
        /// How long to leave it alone.
        delay: Duration,
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

/// The longest error text that is kept, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000;

impl Outcome {
    /// The same outcome with another text, where it has one.
    pub(crate) fn map_message(mut self, change: impl FnOnce(String) -> String) -> Self {
        if let Self::Retry { message, .. } | Self::Dead { message, .. } = &mut self {
            *message = change(std::mem::take(message));
        }
        self
    }

    /// Decides what the outcome means for the claimed event: the table above as code.
    #[must_use]
    pub fn settle(self, claim: &Claim, policy: &RetryPolicy, now: DateTime<Utc>) -> Settlement {
        let event = &claim.event;
        let disposition = match self {
            Self::Delivered => Disposition::Complete,
            Self::Retry { message, .. } if event.attempt_count >= event.max_attempts => {
                Disposition::Bury {
                    reason: DeadReason::AttemptsExhausted,
                    message: bounded(&message),
                }
            }
            Self::Retry {
                message,
                not_before,
            } => {
                let delay = policy.delay(event.attempt_count, event.id);
                Disposition::Fail {
                    next_attempt_at: clock::after(now, delay.max(not_before.unwrap_or_default())),
                    message: bounded(&message),
                }
            }
            Self::Dead { reason, message } => Disposition::Bury {
                reason,
                message: bounded(&message),
            },
            Self::GivenBack { delay } => Disposition::GiveBack {
                next_attempt_at: (!delay.is_zero()).then(|| clock::after(now, delay)),
            },
        };
        Settlement {
            lease: claim.lease,
            disposition,
        }
    }
}

/// What [`rescue`](crate::OutboxRepository::rescue) writes as the error of an attempt that nobody reported.
pub(crate) const LEASE_EXPIRED: &str =
    "the lease ended without an outcome: the process that held it died or stalled";

/// Makes an error text fit to be stored and shown: bounded, on one line, without control characters.
///
/// A text that cannot be stored would keep the failure from being recorded at all.
pub(crate) fn bounded(message: &str) -> String {
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

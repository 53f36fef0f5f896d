//! The outcome of an attempt. This file is the state machine; stores write what it decides.
//!
//! [`Outcome::settle`] decides what an answer means; [`TRANSITIONS`] lists every allowed transition
//! of an event.
//!
//! | a handler's answer | attempt | next |
//! |---|---|---|
//! | success, obsolete | kept | completed |
//! | retry, panic, timeout | kept | failed, due later; dead when attempts are used up |
//! | permanent | kept | dead, [`Rejected`](DeadReason::Rejected) |
//! | undecodable row | kept | dead, [`Undecodable`](DeadReason::Undecodable) |
//! | offline, unauthenticated, rate limited, no handler, shutdown | given back | as before, due now |
//! | refused while others got through | given back, a deferral counted | as before, due later |
//! | snooze | given back, a snooze counted | as before, due later |
//! | process died | given back, a crash counted | as before, due when the lease ends |
//! | process died, `max_attempts` times in a row | given back | dead, [`CrashLoop`] |
//! | lease lost | | nothing is written: the holder of the newer lease decides |
//!
//! "As before" is the status before the claim. [`rescue`](crate::OutboxRepository::rescue) detects
//! that a process died.
//!
//! [`CrashLoop`]: DeadReason::CrashLoop

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Claim, Lease};
use crate::clock;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus, Refusal};
use crate::retry::RetryPolicy;

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
/// Every disposition resets [`crashes`](OutboxEvent::crashes) to 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Status completed. The next event of the lane may proceed.
    Complete,
    /// Status failed, due at `next_attempt_at`.
    Fail {
        /// When the event may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// The error.
        message: String,
    },
    /// Status dead. Later events of the lane wait, unless the event is
    /// [skipped](crate::OnDead::Skip).
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
        /// The answer, recorded as [`last_refusal`](OutboxEvent::last_refusal). `None` keeps the
        /// recorded one.
        refusal: Option<Refusal>,
    },
    /// Like [`GiveBack`](Self::GiveBack), for an event that was refused while others got through.
    /// Increments [`deferrals`](OutboxEvent::deferrals) and sets
    /// [`deferred_since`](OutboxEvent::deferred_since) to now if it is not set.
    Defer {
        /// When the event may be attempted again.
        next_attempt_at: DateTime<Utc>,
        /// The answer, recorded as [`last_refusal`](OutboxEvent::last_refusal).
        refusal: Refusal,
    },
    /// Like [`GiveBack`](Self::GiveBack), for an event that its handler snoozed. Increments
    /// [`snoozes`](OutboxEvent::snoozes).
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
    /// The lease had expired, another worker holds the event, or the event was deleted. Nothing was
    /// written.
    LeaseLost,
}

/// A transition of an event: a row of [`TRANSITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transition {
    /// The status before.
    pub from: OutboxStatus,
    /// What happens to the event.
    pub cause: Cause,
    /// An additional condition.
    pub when: When,
    /// The status after; `None`: the event is deleted.
    pub to: Option<OutboxStatus>,
    /// The effect on the attempt count.
    pub attempts: Attempts,
    /// The effect on the lease.
    pub lease: LeaseChange,
    /// The place afterward among the events of its order.
    pub place: Place,
}

/// Something that can happen to a stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The event is due and first in its order, and a worker claims it.
    Claim,
    /// [`Disposition::Complete`], under the lease.
    Complete,
    /// [`Disposition::Fail`], under the lease.
    Fail,
    /// [`Disposition::Bury`], under the lease.
    Bury,
    /// [`Disposition::GiveBack`], under the lease.
    GiveBack,
    /// [`Disposition::Defer`], under the lease.
    Defer,
    /// [`Disposition::Snooze`], under the lease.
    Snooze,
    /// The lease is renewed, under the lease.
    Extend,
    /// The lease has expired and [`rescue`](crate::OutboxRepository::rescue) runs.
    Rescue,
    /// [`reset_for_retry`](crate::OutboxRepository::reset_for_retry) is called.
    Reset,
    /// A newer change of its entity folds into the event: [`Coalesce`](crate::Coalesce).
    Fold,
    /// The deletion of its entity is enqueued before the remote service learned of the entity:
    /// [`Coalesce`](crate::Coalesce).
    CancelOut,
    /// [`update_event`](crate::OutboxRepository::update_event) is called.
    Edit,
    /// The retention of a completed event has passed:
    /// [`delete_completed_events`](crate::OutboxRepository::delete_completed_events).
    CleanUp,
    /// The event is deleted.
    Delete,
}

/// An additional condition of a [`Transition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum When {
    /// No condition.
    Always,
    /// The attempt in progress is the only counted one.
    FirstAttempt,
    /// Attempts were counted before the one in progress.
    LaterAttempt,
    /// The event was never claimed.
    NeverClaimed,
    /// With this crash, the number of consecutive crashes reaches the event's maximum number of
    /// attempts.
    LastCrash,
}

/// The effect of a [`Transition`] on the attempt count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attempts {
    /// Unchanged.
    Kept,
    /// Incremented.
    Counted,
    /// Decremented: the attempt does not count.
    GivenBack,
    /// Reset to 0, so that all attempts are available.
    Forgotten,
}

/// The effect of a [`Transition`] on the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseChange {
    /// No lease, before and after.
    None,
    /// A new lease, with a new token.
    Taken,
    /// The lease expires later, with the same token.
    Renewed,
    /// The lease ends.
    Ended,
}

/// The place of an event in its lane after a [`Transition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In line: claimable when due and first.
    InLine,
    /// Held by a worker; later events wait.
    Leased,
    /// In line and not claimable; later events wait, or pass it if its entity says so.
    Dead,
    /// Out of the line: the next event may proceed.
    Out,
}

/// Every allowed transition of an event. Any other is refused and has no effect. If several rows
/// apply, the first one is used.
///
/// `outbox_testing::conformance!` checks every store against this table.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Cause, OutboxStatus, TRANSITIONS};
///
/// // Only a claimed event completes, except for one that cancels out before it is sent.
/// let ends = TRANSITIONS.iter().filter(|row| row.to == Some(OutboxStatus::Completed));
/// let causes: Vec<_> = ends.map(|row| (row.from, row.cause)).collect();
/// assert_eq!(causes, [
///     (OutboxStatus::Processing, Cause::Complete),
///     (OutboxStatus::Pending, Cause::CancelOut),
/// ]);
/// ```
#[rustfmt::skip]
pub const TRANSITIONS: &[Transition] = {
    use self::{Attempts as A, Cause as C, LeaseChange as L, Place as P, When as W};
    use OutboxStatus::{Completed, Dead, Failed, Pending, Processing};
    &[
        row(Pending,    C::Claim,    W::Always,         Some(Processing), A::Counted,   L::Taken,   P::Leased),
        row(Failed,     C::Claim,    W::Always,         Some(Processing), A::Counted,   L::Taken,   P::Leased),
        row(Processing, C::Complete, W::Always,         Some(Completed),  A::Kept,      L::Ended,   P::Out),
        row(Processing, C::Fail,     W::Always,         Some(Failed),     A::Kept,      L::Ended,   P::InLine),
        row(Processing, C::Bury,     W::Always,         Some(Dead),       A::Kept,      L::Ended,   P::Dead),
        row(Processing, C::GiveBack, W::FirstAttempt,   Some(Pending),    A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::GiveBack, W::LaterAttempt,   Some(Failed),     A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Defer,    W::FirstAttempt,   Some(Pending),    A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Defer,    W::LaterAttempt,   Some(Failed),     A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Snooze,   W::FirstAttempt,   Some(Pending),    A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Snooze,   W::LaterAttempt,   Some(Failed),     A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Extend,   W::Always,         Some(Processing), A::Kept,      L::Renewed, P::Leased),
        row(Processing, C::Rescue,   W::LastCrash,      Some(Dead),       A::GivenBack, L::Ended,   P::Dead),
        row(Processing, C::Rescue,   W::FirstAttempt,   Some(Pending),    A::GivenBack, L::Ended,   P::InLine),
        row(Processing, C::Rescue,   W::LaterAttempt,   Some(Failed),     A::GivenBack, L::Ended,   P::InLine),
        row(Failed,     C::Reset,    W::Always,         Some(Pending),    A::Forgotten, L::None,    P::InLine),
        row(Dead,       C::Reset,    W::Always,         Some(Pending),    A::Forgotten, L::None,    P::InLine),
        row(Pending,    C::Fold,     W::NeverClaimed,   Some(Pending),    A::Kept,      L::None,    P::InLine),
        row(Pending,    C::CancelOut, W::NeverClaimed,  Some(Completed),  A::Kept,      L::None,    P::Out),
        row(Pending,    C::Edit,     W::Always,         Some(Pending),    A::Kept,      L::None,    P::InLine),
        row(Failed,     C::Edit,     W::Always,         Some(Failed),     A::Kept,      L::None,    P::InLine),
        row(Dead,       C::Edit,     W::Always,         Some(Dead),       A::Kept,      L::None,    P::Dead),
        row(Completed,  C::CleanUp,  W::Always,         None,             A::Kept,      L::None,    P::Out),
        row(Pending,    C::Delete,   W::Always,         None,             A::Kept,      L::None,    P::Out),
        row(Processing, C::Delete,   W::Always,         None,             A::Kept,      L::Ended,   P::Out),
        row(Completed,  C::Delete,   W::Always,         None,             A::Kept,      L::None,    P::Out),
        row(Failed,     C::Delete,   W::Always,         None,             A::Kept,      L::None,    P::Out),
        row(Dead,       C::Delete,   W::Always,         None,             A::Kept,      L::None,    P::Out),
    ]
};

const fn row(
    from: OutboxStatus,
    cause: Cause,
    when: When,
    to: Option<OutboxStatus>,
    attempts: Attempts,
    lease: LeaseChange,
    place: Place,
) -> Transition {
    Transition {
        from,
        cause,
        when,
        to,
        attempts,
        lease,
        place,
    }
}

impl Transition {
    /// The transition of this event for this cause; `None` if it is refused.
    ///
    /// The store checks beforehand that a claimed event is due and first, and that a reported
    /// outcome has a valid lease.
    #[must_use]
    pub fn of(event: &OutboxEvent, cause: Cause) -> Option<&'static Self> {
        TRANSITIONS
            .iter()
            .find(|row| row.from == event.status && row.cause == cause && row.when.holds(event))
    }
}

impl Transition {
    /// Applies the row to the event: status, attempt count, and the end of the lease. The store
    /// writes everything else.
    pub(crate) fn apply(&self, event: &mut OutboxEvent) {
        event.status = self.to.unwrap_or(event.status);
        event.attempt_count = self.attempts.after(event.attempt_count);
        if self.lease == LeaseChange::Ended {
            event.lease_token = None;
            event.lease_expires_at = None;
        }
    }
}

impl When {
    fn holds(self, event: &OutboxEvent) -> bool {
        match self {
            Self::Always => true,
            Self::NeverClaimed => event.last_attempt_at.is_none(),
            Self::FirstAttempt => event.attempt_count <= 1,
            Self::LaterAttempt => event.attempt_count > 1,
            Self::LastCrash => event.crashes.saturating_add(1) >= event.max_attempts,
        }
    }
}

impl Attempts {
    /// The count after the transition.
    #[must_use]
    pub const fn after(self, count: u32) -> u32 {
        match self {
            Self::Kept => count,
            Self::Counted => count.saturating_add(1),
            Self::GivenBack => count.saturating_sub(1),
            Self::Forgotten => 0,
        }
    }
}

impl Disposition {
    /// The cause of the transition.
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

/// The maximum length of a stored error message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000;

impl Outcome {
    /// Decides the effect of the outcome on the claimed event, as in the table above.
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
/// [`rescue`](crate::OutboxRepository::rescue).
pub(crate) const LEASE_EXPIRED: &str =
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

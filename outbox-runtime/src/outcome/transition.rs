//! Every allowed transition of an event, as data.

use crate::event::{OutboxEvent, OutboxStatus};

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
    /// [`Disposition::Complete`](crate::store::Disposition::Complete), under the lease.
    Complete,
    /// [`Disposition::Fail`](crate::store::Disposition::Fail), under the lease.
    Fail,
    /// [`Disposition::Bury`](crate::store::Disposition::Bury), under the lease.
    Bury,
    /// [`Disposition::GiveBack`](crate::store::Disposition::GiveBack), under the lease.
    GiveBack,
    /// [`Disposition::Defer`](crate::store::Disposition::Defer), under the lease.
    Defer,
    /// [`Disposition::Snooze`](crate::store::Disposition::Snooze), under the lease.
    Snooze,
    /// The lease is renewed, under the lease.
    Extend,
    /// The lease has expired and [`rescue`](crate::store::OutboxQueue::rescue) runs.
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

impl Cause {
    /// All causes, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::Claim,
        Self::Complete,
        Self::Fail,
        Self::Bury,
        Self::GiveBack,
        Self::Defer,
        Self::Snooze,
        Self::Extend,
        Self::Rescue,
        Self::Reset,
        Self::Fold,
        Self::CancelOut,
        Self::Edit,
        Self::CleanUp,
        Self::Delete,
    ];
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
/// use outbox_runtime::OutboxStatus;
/// use outbox_runtime::store::{Cause, TRANSITIONS};
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

/// The columns of a row that determine the allowed transitions of its event, for a store that has
/// not read the whole row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The status.
    pub status: OutboxStatus,
    /// The number of counted attempts, including the one in progress.
    pub attempt_count: u32,
    /// The number of attempts after which the event becomes a dead letter.
    pub max_attempts: u32,
    /// The number of consecutive crashes.
    pub crashes: u32,
    /// Whether the event was ever claimed.
    pub was_claimed: bool,
}

impl Standing {
    /// The standing of an event.
    #[must_use]
    pub fn of(event: &OutboxEvent) -> Self {
        Self {
            status: event.status,
            attempt_count: event.attempt_count,
            max_attempts: event.max_attempts,
            crashes: event.crashes,
            was_claimed: event.last_attempt_at.is_some(),
        }
    }

    /// The standing of an event whose worker reports an outcome. The effect of a report depends
    /// only on the attempt count.
    #[must_use]
    pub const fn reported(attempt_count: u32) -> Self {
        Self {
            status: OutboxStatus::Processing,
            attempt_count,
            max_attempts: u32::MAX,
            crashes: 0,
            was_claimed: true,
        }
    }
}

impl Transition {
    /// The transition of this event for this cause; `None` if it is refused.
    ///
    /// The store checks beforehand that a claimed event is due and first, and that a reported
    /// outcome has a valid lease.
    #[must_use]
    pub fn of(event: &OutboxEvent, cause: Cause) -> Option<&'static Self> {
        Self::from(Standing::of(event), cause)
    }

    /// Like [`of`](Self::of), for the standing of an event.
    #[must_use]
    pub fn from(standing: Standing, cause: Cause) -> Option<&'static Self> {
        TRANSITIONS.iter().find(|row| {
            row.from == standing.status && row.cause == cause && row.when.holds(standing)
        })
    }

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
    fn holds(self, event: Standing) -> bool {
        match self {
            Self::Always => true,
            Self::NeverClaimed => !event.was_claimed,
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

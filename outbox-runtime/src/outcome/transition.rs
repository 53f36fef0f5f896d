//! All that may happen to an event, as data.

use crate::event::{OutboxEvent, OutboxStatus};

/// One way for an event to change: a row of [`TRANSITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transition {
    /// Where the event is.
    pub from: OutboxStatus,
    /// What happens to it.
    pub cause: Cause,
    /// What else must be so.
    pub when: When,
    /// Where it is then; `None`: it is gone.
    pub to: Option<OutboxStatus>,
    /// What becomes of the count of its attempts.
    pub attempts: Attempts,
    /// What becomes of the lease that it is held under.
    pub lease: LeaseChange,
    /// Where it stands then among the events of its order.
    pub place: Place,
}

/// What can happen to an event that is in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It is due and first in its order, and a worker takes it.
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
    /// The lease has ended and somebody looks: [`rescue`](crate::OutboxRepository::rescue).
    Rescue,
    /// Somebody wants it tried again: [`reset_for_retry`](crate::OutboxRepository::reset_for_retry).
    Reset,
    /// A newer change of its entity folds into it: [`Coalesce`](crate::Coalesce).
    Fold,
    /// The deletion of its entity arrives, of which the remote service was never told: [`Coalesce`](crate::Coalesce).
    CancelOut,
    /// Somebody changes it by hand: [`update_event`](crate::OutboxRepository::update_event).
    Edit,
    /// It was completed long ago: [`delete_completed_events`](crate::OutboxRepository::delete_completed_events).
    CleanUp,
    /// Somebody deletes it.
    Delete,
}

/// What else a [`Transition`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum When {
    /// Nothing.
    Always,
    /// The attempt in progress is the only one that counts.
    FirstAttempt,
    /// There were counted attempts before the one in progress.
    LaterAttempt,
    /// It was never claimed.
    NeverClaimed,
    /// With this crash there are as many in a row as the event may have attempts.
    LastCrash,
}

/// What a [`Transition`] does to the count of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attempts {
    /// It stays.
    Kept,
    /// One more.
    Counted,
    /// One less: it was not really an attempt.
    GivenBack,
    /// None, so that all of them are left.
    Forgotten,
}

/// What a [`Transition`] does to the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseChange {
    /// There is none, before and after.
    None,
    /// A new one begins, with a new token.
    Taken,
    /// It ends later, under the same token.
    Renewed,
    /// It is over.
    Ended,
}

/// Where a [`Transition`] leaves an event among those that wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In its place: to be claimed when it is due and first.
    InLine,
    /// With a worker; those behind it wait.
    Leased,
    /// In its place, and not to be claimed; those behind it wait, or pass it where its entity says so.
    Dead,
    /// Out of the line: the next one may go.
    Out,
}

/// Everything that may happen to an event. What is not in this table is refused, and changes nothing. Of several rows that apply
/// the first is meant.
///
/// Every store is held to it by `testing::conformance!` (feature `testing`).
///
/// # Examples
///
/// ```
/// use outbox_runtime::OutboxStatus;
/// use outbox_runtime::store::{Cause, TRANSITIONS};
///
/// // Only what was claimed is completed, unless the remote service need not hear of it at all.
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

/// The columns of a row that decide what may happen to its event: enough for a store that has not read the whole row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The status.
    pub status: OutboxStatus,
    /// How many attempts are counted, the one in progress included.
    pub attempt_count: u32,
    /// With how many attempts it becomes a dead letter.
    pub max_attempts: u32,
    /// How many attempts in a row ended with a crash.
    pub crashes: u32,
    /// Whether it was ever claimed.
    pub was_claimed: bool,
}

impl Standing {
    /// That of an event.
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

    /// That of an event that a worker has, which did not crash. What a report does to it depends on the count of attempts
    /// alone.
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
    /// What happens to this event now, by this cause; `None` where it is refused.
    ///
    /// Whether a claim finds the event due and first, and a report its lease still valid, is for the store to see first.
    #[must_use]
    pub fn of(event: &OutboxEvent, cause: Cause) -> Option<&'static Self> {
        Self::from(Standing::of(event), cause)
    }

    /// The same for an event that stands so.
    #[must_use]
    pub fn from(standing: Standing, cause: Cause) -> Option<&'static Self> {
        TRANSITIONS.iter().find(|row| {
            row.from == standing.status && row.cause == cause && row.when.holds(standing)
        })
    }

    /// Writes what the table says: status, attempts, and that a lease is over. All else is the store's to write.
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
    /// The count afterwards.
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

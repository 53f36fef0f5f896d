//! Slots: the place of an undelivered event in the queue.

use chrono::{DateTime, Utc};

use crate::entity::OnDead;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Standing, Transition};

/// The status of an event with this standing after `cause`. `None`: the transition is refused, or
/// the event is deleted.
#[must_use]
pub fn status_after(standing: Standing, cause: Cause) -> Option<OutboxStatus> {
    Transition::from(standing, cause)?.to
}

/// The place of an undelivered event in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Due, and at the front of its lane: a claim may take it.
    Ready,
    /// At the front of its lane, due later.
    Waiting,
    /// Behind another event.
    Blocked,
    /// With a handler, and out of the way of claims. Whether a handler has an event is told by its
    /// claim; a store may leave the event in the slot that it was claimed from.
    Parked,
    /// Dead, and blocking the events behind it.
    Holding,
}

impl Slot {
    /// All slots.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::Waiting,
        Self::Blocked,
        Self::Parked,
        Self::Holding,
    ];

    /// Its number in a row.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Ready => 1,
            Self::Waiting => 2,
            Self::Blocked => 3,
            Self::Parked => 4,
            Self::Holding => 5,
        }
    }
}

/// What an event that can be attempted waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Nothing.
    Now,
    /// Its due time.
    Later,
    /// Another event.
    Behind,
}

impl Turn {
    /// The turn of an event. Whether it is behind another event depends on its neighbors, which
    /// only the store knows.
    ///
    /// An event that was neither attempted nor delayed is due even if the clock was set back since.
    #[must_use]
    pub fn of(event: &OutboxEvent, now: DateTime<Utc>, is_behind: bool) -> Self {
        let was_due_when_created =
            event.last_attempt_at.is_none() && event.next_attempt_at <= event.created_at;
        if is_behind {
            Self::Behind
        } else if was_due_when_created || event.next_attempt_at <= now {
            Self::Now
        } else {
            Self::Later
        }
    }
}

/// The slot of an event with this status. `None`: the event is completed, or dead and skipped, and
/// blocks no other.
#[must_use]
pub const fn slot_after(status: OutboxStatus, on_dead: OnDead, turn: Turn) -> Option<Slot> {
    match (status, on_dead) {
        (OutboxStatus::Completed, _) | (OutboxStatus::Dead, OnDead::Skip) => None,
        (OutboxStatus::Dead, OnDead::Hold) => Some(Slot::Holding),
        (OutboxStatus::Processing, _) => Some(Slot::Parked),
        (OutboxStatus::Pending | OutboxStatus::Failed, _) => Some(match turn {
            Turn::Now => Slot::Ready,
            Turn::Later => Slot::Waiting,
            Turn::Behind => Slot::Blocked,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enqueue::NewEvent;
    use crate::event::Operation;

    #[test]
    fn exactly_the_open_events_have_a_slot() {
        let now = DateTime::UNIX_EPOCH;
        let new = NewEvent::new("note", 1, "u1", Operation::Create);
        let mut event = new.into_pending(now);
        for status in OutboxStatus::ALL {
            for on_dead in [OnDead::Hold, OnDead::Skip] {
                (event.status, event.on_dead) = (*status, on_dead);
                for turn in [Turn::Now, Turn::Later, Turn::Behind] {
                    let slot = slot_after(*status, on_dead, turn);
                    assert_eq!(slot.is_some(), event.is_open(), "{status} {on_dead:?}");
                }
            }
        }
    }
}

//! Where an event stands in the queue.

use chrono::{DateTime, Utc};

use crate::entity::OnDead;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Standing, Transition};

/// The status of an event that stands so, after this happened to it. `None`: it is refused, or the event is gone.
#[must_use]
pub fn status_after(standing: Standing, cause: Cause) -> Option<OutboxStatus> {
    Transition::from(standing, cause)?.to
}

/// Where an undelivered event stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Due, and at the front of its lane: a claim may take it.
    Ready,
    /// At the front of its lane, due later.
    Waiting,
    /// Behind another event.
    Blocked,
    /// With a worker.
    Leased,
    /// Dead, holding back what is behind it.
    Held,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::Waiting,
        Self::Blocked,
        Self::Leased,
        Self::Held,
    ];

    /// The word for it in a row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Leased => "leased",
            Self::Held => "held",
        }
    }
}

/// What an event that is to be attempted waits for.
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
    /// That of an event. Whether it is behind another depends on those around it, which the store knows.
    ///
    /// An event that was never attempted and not delayed is due whatever the clock was set to since.
    #[must_use]
    pub fn of(event: &OutboxEvent, now: DateTime<Utc>, is_behind: bool) -> Self {
        let was_never_to_wait =
            event.last_attempt_at.is_none() && event.next_attempt_at <= event.created_at;
        if is_behind {
            Self::Behind
        } else if was_never_to_wait || event.next_attempt_at <= now {
            Self::Now
        } else {
            Self::Later
        }
    }
}

/// The slot of an event that has this status now. `None`: it is finished, or dead and skipped, and nothing waits for it.
#[must_use]
pub const fn slot_after(status: OutboxStatus, on_dead: OnDead, turn: Turn) -> Option<Slot> {
    match (status, on_dead) {
        (OutboxStatus::Completed, _) | (OutboxStatus::Dead, OnDead::Skip) => None,
        (OutboxStatus::Dead, OnDead::Hold) => Some(Slot::Held),
        (OutboxStatus::Processing, _) => Some(Slot::Leased),
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
    fn an_event_has_a_slot_as_long_as_others_may_have_to_wait_for_it() {
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

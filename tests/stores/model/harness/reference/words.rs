//! What steps, answers and rows consist of.

use outbox_runtime::store::ClaimOrder;
use outbox_runtime::{Coalesce, DeadReason, OnDead, Operation, Order, OutboxStatus};

/// Times and durations, in milliseconds since the start.
pub type Millis = u64;

/// Content of an event. Two events with equal id and content are the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub draft: bool,
    pub entity: i64,
    pub user: u8,
    pub operation: Operation,
    pub text: u8,
    pub destination: Option<u8>,
}

/// Options of an enqueue.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub priority: i32,
    pub max_attempts: u32,
    pub delay: Millis,
    pub order: Order,
    pub on_dead: OnDead,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, Copy)]
pub enum Report {
    Complete,
    Fail(Millis),
    Bury,
    /// And whether with a refusal.
    GiveBack(Option<Millis>, bool),
    Defer(Millis),
    Snooze(Millis),
}

/// Selected and preferred events of a claim.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Only this destination, or only events without one.
    pub only: Option<Option<u8>>,
    /// Not this destination, and not this user; both must match.
    pub except: Option<(Option<u8>, Option<u8>)>,
    pub avoided: Option<u8>,
    pub order: ClaimOrder,
}

#[derive(Debug, Clone)]
pub enum Step {
    Enqueue(u8, Change, Options),
    /// Repeats the n-th enqueue.
    EnqueueAgain(usize),
    Claim {
        limit: usize,
        user: Option<u8>,
        /// Number of places for turns, and the user of the last turn.
        turns: Option<(usize, u8)>,
        choice: Choice,
        lease: Millis,
    },
    ClaimOne(u8, Millis),
    /// Reports on the n-th claim, even if its lease has ended.
    Settle(usize, Report),
    Extend(usize, Millis),
    Wait(Millis),
    Rescue,
    Reset(u8),
    Edit(u8, i32, Millis),
    CleanUp(Millis),
    Delete(u8),
    Discard(u8),
    DeleteEntity(i64, Option<u8>),
    DeleteUser(u8),
    /// Pauses a user, perhaps only for a time.
    Pause(u8, Option<Millis>),
    Unpause(u8),
}

/// Expected answer to the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    /// Id of the event that has the change.
    Carried(u8),
    Conflict,
    NotFound,
    /// These events, in this order.
    Claimed(Vec<u8>),
    Recorded(bool),
    Count(u64),
    Rescued(u64, u64),
}

/// The expected content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: u8,
    pub change: Change,
    pub order: Order,
    pub on_dead: OnDead,
    pub status: OutboxStatus,
    pub priority: i32,
    pub created: Millis,
    pub due: Millis,
    pub last_attempt: Option<Millis>,
    pub attempts: u32,
    pub max_attempts: u32,
    pub error: Option<String>,
    pub completed: Option<Millis>,
    /// Claim that holds the row, and end of its lease.
    pub lease: Option<(usize, Millis)>,
    pub dead_reason: Option<DeadReason>,
    pub deferrals: u32,
    pub deferred_since: Option<Millis>,
    pub refusal: Option<&'static str>,
    pub crashes: u32,
    pub snoozes: u32,
    pub revision: u64,
    /// The event that the row's trace context came with: its own, or the last that folded into it.
    pub traced_by: u8,
}

impl Choice {
    pub(super) fn means(&self, row: &Row) -> bool {
        let Change {
            destination, user, ..
        } = row.change;
        let left_out = self
            .except
            .is_some_and(|(to, of)| to == destination && of.is_none_or(|of| of == user));
        self.only.is_none_or(|only| only == destination) && !left_out
    }
}

impl Row {
    /// The attempt in progress does not count.
    pub(super) fn give_back(&mut self) {
        self.attempts -= 1;
        self.status = match self.attempts {
            0 => OutboxStatus::Pending,
            _ => OutboxStatus::Failed,
        };
    }

    /// Whether both rows are about the same entity, but in lanes of different orders: the elder
    /// goes first.
    pub(super) fn is_kin_of(&self, other: &Self) -> bool {
        let about = |row: &Self| (row.change.draft, row.change.entity, row.change.user);
        self.order != other.order && about(self) == about(other)
    }

    /// Whether it blocks later rows of its lane.
    pub(super) fn is_open(&self) -> bool {
        match self.status {
            OutboxStatus::Completed => false,
            OutboxStatus::Dead => self.on_dead == OnDead::Hold,
            _ => true,
        }
    }

    /// Whether its changes are folded.
    pub fn coalesce(draft: bool) -> Coalesce {
        if draft {
            Coalesce::Latest
        } else {
            Coalesce::Never
        }
    }
}

//! What the server and its sessions know at one moment.
//!
//! A row is as it was last committed. What a transaction has locked and written stands in its
//! session, so sessions that do the same are interchangeable: a state keeps them sorted. Of the
//! snapshot of a statement, a session keeps what the statement will do by it. Rows are numbered by
//! `seq`. A row that nobody can see or mention anymore is dropped and the later ones move up, so
//! that a state does not remember the past.

use std::hash::{Hash, Hasher};

use crate::set::Set;

/// The most rows and the most sessions.
pub const MOST_ROWS: usize = 4;
/// The most sessions.
pub const MOST_SESSIONS: usize = 3;

/// The column `slot`, and whether the row is there.
///
/// A dead letter that holds is a candidate that no claim takes, and so is an event that is due
/// later, once for all its states: both are in `events_front`, and no statement but a claim makes a
/// difference. So `h` is left out, and `w` occurs only where a hand-on is wrong about the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Slot {
    /// Not committed, rolled back or deleted.
    #[default]
    Absent,
    /// `r`: a candidate.
    Ready,
    /// `w`: due later.
    Later,
    /// `b`: behind another event of its lane.
    Blocked,
    /// `l`: with a worker.
    Leased,
    /// `f`: with a worker, behind another event of the lane that it has.
    Follower,
    /// `n`: finished, and the next one is not unblocked yet.
    Note,
    /// NULL: finished.
    Done,
}

impl Slot {
    /// Whether the row is in the index `events_front`.
    #[must_use]
    pub const fn is_front(self) -> bool {
        matches!(self, Self::Ready | Self::Later)
    }

    /// Whether the row is in the unique index `events_taken`.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Leased | Self::Note)
    }

    /// Whether a worker has the event.
    #[must_use]
    pub const fn is_leased(self) -> bool {
        matches!(self, Self::Leased | Self::Follower)
    }

    /// Whether the event waits for a worker.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Ready | Self::Later | Self::Blocked)
    }

    /// Whether the event is still to be delivered.
    #[must_use]
    pub const fn is_open(self) -> bool {
        self.is_waiting() || self.is_leased()
    }

    /// Whether the row is in no index of the queue.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::Absent | Self::Done)
    }
}

/// A row as it was last committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its slot.
    pub slot: Slot,
    /// Its lane.
    pub lane: u8,
    /// The open events of its lane that were committed when it was enqueued.
    pub before: Set,
}

/// What a session does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Nothing: no transaction is open.
    #[default]
    Idle,
    /// Ends its transaction, whose statements are done; an application's may be open for long.
    Commit,
    /// Runs `PostgresStore::stage`.
    Claim,
    /// Enters what it leases into the unique index.
    Lease,
    /// Runs `COMPLETE` or `SETTLE`, where it is the same statement as `UNBLOCK_NEXT`.
    Settle,
    /// Begins `UNBLOCK_NEXT`.
    Ended,
    /// Begins `UNBLOCK_LANES`.
    Completed,
    /// Begins `UNBLOCK_AFTER_BATCH`.
    EndedTogether,
    /// Runs `UNBLOCK_AFTER_BATCH` where the lane has followers.
    Promote,
    /// Runs `UNBLOCK_NEXT` or `UNBLOCK_LANES`, or the rest of `UNBLOCK_AFTER_BATCH`.
    UnblockNext,
    /// Enters a note into the unique index.
    WriteNote,
    /// Begins the claim of `settle_and_find`.
    HandedOn,
    /// Begins `TAKE_UP_NOTES`.
    NotesLocked,
    /// Runs `TAKE_UP_NOTES`.
    TakeUpNotes,
    /// Runs `DEMOTE`: locks the front.
    Demote,
    /// Runs `DEMOTE`: blocks the others.
    DemoteOthers,
    /// Locks and leases followers.
    Follow,
    /// Begins `UNBLOCK`.
    Deleted,
    /// Runs `UNBLOCK`.
    Unblock,
    /// Runs `fold`, in its case that cancels a create.
    Cancel,
    /// Is told that its outcomes are not recorded: a note met a claim at the unique index.
    OutcomeFailed,
    /// There is no such session.
    None,
}

/// A connection, and the worker that uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Its next step.
    pub step: Step,
    /// Whether the transaction records outcomes of its worker.
    pub settles: bool,
    /// Whether these outcomes give the events back.
    pub gives_back: bool,
    /// Whether a claim follows in the same transaction.
    pub claims_too: bool,
    /// Whether the claim is a later one of the same call, and what the earlier ones found. Kept
    /// only where a fault depends on it.
    pub found: Set,
    /// The lane of the statement.
    pub lane: u8,
    /// The rows of the transaction's purpose.
    pub ids: Set,
    /// The rows that the statement leases or leaves as notes, by its snapshot, and has not yet
    /// entered into the unique index.
    pub todo: Set,
    /// The rows that it looks for, by its snapshot.
    pub next: Set,
    /// The rows that the transaction has locked.
    pub locked: Set,
    /// The rows that it has written.
    pub written: Set,
    /// The slots that it has written to them.
    pub writes: [Slot; MOST_ROWS],
    /// The rows that were enqueued since it began. Kept only where a fault depends on it.
    pub younger: Set,
    /// The events that its worker has under a lease that is still the row's.
    pub held: Set,
    /// The events that its worker has under a lease that was taken away.
    pub stale: Set,
    /// The events that its worker holds, of which it has leased several of a lane.
    pub shared: Set,
}

impl Session {
    /// Whether a row plays a part in what the session does.
    fn mentions(&self, row: usize) -> bool {
        let sets = [
            self.found,
            self.ids,
            self.todo,
            self.next,
            self.locked,
            self.written,
            self.held,
            self.stale,
        ];
        sets.into_iter().any(|set| set.has(row))
    }

    fn drop_row(&mut self, row: usize) {
        for set in [
            &mut self.found,
            &mut self.ids,
            &mut self.todo,
            &mut self.next,
            &mut self.locked,
            &mut self.written,
            &mut self.younger,
            &mut self.held,
            &mut self.stale,
            &mut self.shared,
        ] {
            *set = set.closed_up(row);
        }
        close_up(&mut self.writes, row);
    }
}

fn close_up<T: Copy + Default>(list: &mut [T; MOST_ROWS], row: usize) {
    list.copy_within(row + 1.., row);
    list[MOST_ROWS - 1] = T::default();
}

/// A state of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The rows, by `seq`.
    pub rows: [Row; MOST_ROWS],
    /// How many of them there are.
    pub count: u8,
    /// How many events are still to be enqueued.
    pub left: u8,
    /// The sessions.
    pub sessions: [Session; MOST_SESSIONS],
}

impl State {
    /// An empty outbox.
    #[must_use]
    pub fn new(sessions: usize, events: u8) -> Self {
        let mut state = Self {
            rows: [Row::default(); MOST_ROWS],
            count: 0,
            left: events,
            sessions: [Session::default(); MOST_SESSIONS],
        };
        for session in &mut state.sessions[sessions..] {
            session.step = Step::None;
        }
        state
    }

    /// The numbers of the rows.
    pub fn numbers(&self) -> std::ops::Range<usize> {
        0..usize::from(self.count)
    }

    /// The rows of a lane.
    #[must_use]
    pub fn lane(&self, lane: u8) -> Set {
        let rows = self.numbers();
        rows.filter(|row| self.rows[*row].lane == lane).collect()
    }

    /// The rows whose committed slot is one of these.
    pub fn committed(&self, is: impl Fn(Slot) -> bool) -> Set {
        let rows = self.numbers();
        rows.filter(|row| is(self.rows[*row].slot)).collect()
    }

    /// Brings the state into the one form that stands for all states that differ from it only in
    /// names.
    pub fn normalize(&mut self) {
        let mut row = 0;
        while row < usize::from(self.count) {
            let is_forgotten = self.rows[row].slot.is_out()
                && !self.sessions.iter().any(|session| session.mentions(row));
            if is_forgotten {
                self.drop_row(row);
            } else {
                row += 1;
            }
        }
        if self.count > 0 && self.rows[0].lane == 1 {
            for row in 0..usize::from(self.count) {
                self.rows[row].lane ^= 1;
            }
            for session in &mut self.sessions {
                if session.step == Step::Deleted {
                    session.lane ^= 1;
                }
            }
        }
        self.sessions.sort_unstable();
    }

    fn drop_row(&mut self, row: usize) {
        close_up(&mut self.rows, row);
        self.count -= 1;
        for other in 0..usize::from(self.count) {
            let before = self.rows[other].before;
            self.rows[other].before = before.closed_up(row);
        }
        for session in &mut self.sessions {
            session.drop_row(row);
        }
    }
}

/// All of a state in a few bytes: the checker takes nearly all its time for this.
impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let pack = |slots: &[Slot; MOST_ROWS]| {
            let digits = slots.iter().map(|slot| *slot as u64);
            digits.fold(0, |number, digit| number << 3 | digit)
        };
        let mut rows = u64::from(self.count) << 4 | u64::from(self.left);
        for row in &self.rows {
            rows = rows << 8
                | (row.slot as u64) << 5
                | u64::from(row.lane) << 4
                | u64::from(row.before.0);
        }
        state.write_u64(rows);
        for session in &self.sessions {
            let what = (session.step as u64) << 4
                | u64::from(session.settles) << 3
                | u64::from(session.lane) << 2
                | u64::from(session.gives_back) << 1
                | u64::from(session.claims_too);
            let sets = [
                session.found,
                session.ids,
                session.todo,
                session.next,
                session.locked,
                session.written,
                session.younger,
                session.held,
                session.stale,
                session.shared,
            ];
            let sets = sets
                .iter()
                .fold(what, |number, set| number << 4 | u64::from(set.0));
            state.write_u64(sets << 12 | pack(&session.writes));
        }
    }
}

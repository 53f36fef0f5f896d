//! What PostgreSQL does under READ COMMITTED: snapshots, row locks, the unique index, commits.

use super::state::{Session, Slot, State, Step};
use crate::set::Set;

/// What an entry into the unique index `events_taken` meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// No other row.
    Free,
    /// One that an open transaction has entered or is taking out: the statement waits for its end.
    Wait,
    /// A committed one: SQLSTATE 23505.
    Collision,
}

impl State {
    /// The row as the session sees it at this moment: its own version, or else the committed one.
    #[must_use]
    pub fn current(&self, s: usize, row: usize) -> Slot {
        let session = &self.sessions[s];
        if session.written.has(row) {
            session.writes[row]
        } else {
            self.rows[row].slot
        }
    }

    /// Ends a statement: its locks and writes remain.
    pub fn end_statement(&mut self, s: usize, step: Step) {
        let session = &mut self.sessions[s];
        session.step = step;
        session.next = Set::NONE;
        session.todo = Set::NONE;
        if step == Step::Commit {
            session.lane = 0;
        }
    }

    /// Whether another session has the row locked.
    #[must_use]
    pub fn is_locked(&self, s: usize, row: usize) -> bool {
        let mut others = self.sessions.iter().enumerate();
        others.any(|(other, session)| other != s && session.locked.has(row))
    }

    /// Locks a row that the snapshot has, in its newest version, and checks the condition on that.
    /// `SKIP LOCKED`: a row that somebody else has locked is left out. The lock stays even if the
    /// newest version does not fit.
    pub fn lock(&mut self, s: usize, row: usize, fits: impl Fn(Slot) -> bool) -> bool {
        if self.is_locked(s, row) || self.current(s, row) == Slot::Absent {
            return false;
        }
        self.sessions[s].locked.add(row);
        fits(self.current(s, row))
    }

    /// Writes a new version of a row that the session has locked.
    pub fn write(&mut self, s: usize, row: usize, slot: Slot) {
        let session = &mut self.sessions[s];
        session.locked.add(row);
        session.written.add(row);
        session.writes[row] = slot;
    }

    /// What an entry of this row into the unique index meets. The index knows no snapshots.
    #[must_use]
    pub fn unique(&self, s: usize, row: usize) -> Unique {
        let mut found = Unique::Free;
        for other in self.lane(self.rows[row].lane).rows() {
            if other == row || self.sessions[s].written.has(other) {
                let is_own = other != row && self.sessions[s].writes[other].is_taken();
                if is_own {
                    return Unique::Collision;
                }
                continue;
            }
            let is_taken = self.rows[other].slot.is_taken();
            let writer = self.sessions.iter().find(|it| it.written.has(other));
            match writer {
                None if is_taken => return Unique::Collision,
                Some(writer) if is_taken || writer.writes[other].is_taken() => {
                    found = Unique::Wait;
                }
                _ => {}
            }
        }
        found
    }

    /// Commits the transaction of the session, which is idle then.
    pub fn commit(&mut self, s: usize) {
        if self.sessions[s].settles {
            // Its worker is told what became of each, and is done with all of them.
            let ids = self.sessions[s].ids;
            let session = &mut self.sessions[s];
            session.held = session.held.without(ids);
            session.stale = session.stale.without(ids);
            session.shared = session.shared.without(ids);
        }
        let session = self.sessions[s];
        for row in session.written.rows() {
            let (old, new) = (self.rows[row].slot, session.writes[row]);
            self.rows[row].slot = new;
            if old.is_leased() != new.is_leased() {
                // Another token, or none. A follower that takes the lane keeps its own.
                for (other, session) in self.sessions.iter_mut().enumerate() {
                    session.shared.remove(row);
                    if session.held.has(row) {
                        session.held.remove(row);
                        if other != s {
                            session.stale.add(row);
                        }
                    }
                }
            }
            if new.is_leased() && !old.is_leased() {
                self.sessions[s].held.add(row);
            }
            if new == Slot::Follower {
                let lane = self.lane(self.rows[row].lane);
                let held = self.sessions[s].held.both(lane);
                self.sessions[s].shared = self.sessions[s].shared.with(held);
            }
            if old.is_leased() && new.is_waiting() {
                // Those that are still leased behind it may go on before it does, also if that was
                // decided on while it was leased.
                for other in self.lane(self.rows[row].lane).rows() {
                    let slot = match session.written.has(other) {
                        true => session.writes[other],
                        false => self.rows[other].slot,
                    };
                    if slot.is_leased() || self.is_being_leased(other) {
                        self.rows[other].before.remove(row);
                    }
                }
            }
            if !new.is_open() {
                // It holds nobody up anymore.
                self.rows[row].before = Set::NONE;
                for other in &mut self.rows {
                    other.before.remove(row);
                }
            }
            for (other, session) in self.sessions.iter_mut().enumerate() {
                if other != s && session.step == Step::Claim {
                    // The row has another `ctid` now.
                    session.todo.remove(row);
                }
            }
        }
        self.close(s);
    }

    /// Whether a session is about to lease this row behind one that it has.
    fn is_being_leased(&self, row: usize) -> bool {
        let is_next = |it: &Session| it.step == Step::Follow && it.next.has(row);
        let is_leased = |it: &Session| it.written.has(row) && it.writes[row] == Slot::Follower;
        let mut sessions = self.sessions.iter();
        sessions.any(|session| is_next(session) || is_leased(session))
    }

    /// Rolls the transaction of the session back. Its worker keeps what it has in memory.
    pub fn roll_back(&mut self, s: usize) {
        self.close(s);
    }

    fn close(&mut self, s: usize) {
        let Session {
            held,
            stale,
            shared,
            found,
            ..
        } = self.sessions[s];
        self.sessions[s] = Session {
            held,
            stale,
            shared,
            found,
            ..Session::default()
        };
    }

    /// The process of the session dies: its transaction is rolled back, and nobody knows its leases
    /// anymore.
    pub fn crash(&mut self, s: usize) {
        self.sessions[s] = Session::default();
    }
}

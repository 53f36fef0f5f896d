//! The statements of the store, in the steps in which they can meet others.

use super::faults::Fault;
use super::server::Unique;
use super::state::{Slot, State, Step};
use crate::set::Set;

impl State {
    /// Runs the next step of a session. Returns whether it could: if not, it waits for another one.
    pub(super) fn run(&mut self, s: usize, fault: Fault) -> bool {
        match self.sessions[s].step {
            Step::Commit => self.run_commit(s, fault),
            Step::Claim => self.run_claim(s, fault),
            Step::Lease => return self.run_lease(s, fault),
            Step::Settle => return self.run_settle(s, fault),
            Step::Rescue => self.run_rescue(s),
            Step::Ended => self.begin_statement(s, Step::UnblockNext),
            Step::UnblockNext => self.run_unblock_next(s, fault),
            Step::WriteNote => return self.run_write_note(s),
            Step::HandedOn => self.begin_statement(s, Step::Claim),
            Step::LockNotes => self.run_lock_notes(s),
            Step::NotesLocked => self.begin_statement(s, Step::TakeUpNotes),
            Step::TakeUpNotes => self.run_take_up_notes(s),
            Step::Demote => self.run_demote(s, fault),
            Step::DemoteOthers => self.run_demote_others(s),
            Step::Delete => return self.run_delete(s),
            Step::Deleted => self.begin_statement(s, Step::Unblock),
            Step::Unblock => return self.run_unblock(s, fault),
            Step::Cancel => self.run_cancel(s, fault),
            Step::OutcomeFailed => self.sessions[s].step = Step::Idle,
            Step::Idle | Step::None => return false,
        }
        true
    }

    fn run_commit(&mut self, s: usize, fault: Fault) {
        let before = self.sessions[s].held;
        self.commit(s);
        if fault == Fault::FoundIsDropped {
            let found = self.sessions[s].held.without(before);
            self.sessions[s].found = self.sessions[s].found.with(found);
        }
    }

    /// The transaction is done, and over at once if it has nothing to commit.
    fn finish(&mut self, s: usize) {
        self.end_statement(s, Step::Commit);
        let session = &self.sessions[s];
        if session.locked.is_empty() && !session.settles {
            self.roll_back(s);
        }
    }

    /// `stage`: locks the candidates `c`, finds in `j` which are behind others, and leases the rest
    /// in `u`. `j` sees the snapshot; a row that was changed since has another `ctid` and is not
    /// found by `u`.
    fn run_claim(&mut self, s: usize, fault: Fault) {
        let session = self.sessions[s];
        let scan = match session.settles {
            true => self.numbers().collect(),
            false => session.ids,
        };
        for row in scan.rows().filter(|row| session.seen[*row] == Slot::Ready) {
            if self.lock(s, row, |slot| slot == Slot::Ready)
                && !session.changed.has(row)
                && !self.is_behind(s, row, fault)
            {
                self.sessions[s].todo.add(row);
            }
        }
        if !session.settles {
            self.sessions[s].ids = Set::NONE;
        }
        self.sessions[s].step = Step::Lease;
        self.run_lease(s, fault);
    }

    /// `BEHIND`.
    fn is_behind(&self, s: usize, row: usize, fault: Fault) -> bool {
        let seen = &self.sessions[s].seen;
        let others = self.lane(self.rows[row].lane);
        let is_behind_front = others
            .rows()
            .any(|other| other < row && seen[other].is_front());
        let is_behind_taken = others.rows().any(|other| seen[other].is_taken());
        (is_behind_front && fault != Fault::NoFrontCheck) || is_behind_taken
    }

    /// The entries into `events_taken`, in the order of the lanes.
    fn run_lease(&mut self, s: usize, fault: Fault) -> bool {
        let mut todo: Vec<usize> = self.sessions[s].todo.rows().collect();
        todo.sort_by_key(|row| (self.rows[*row].lane, *row));
        let mut could = todo.is_empty();
        for row in todo {
            match self.unique(s, row) {
                _ if fault == Fault::NoUniqueIndex => {}
                Unique::Free => {}
                Unique::Wait => return could,
                Unique::Collision => {
                    self.claim_fails(s, fault);
                    return true;
                }
            }
            self.write(s, row, Slot::Leased);
            self.sessions[s].todo.remove(row);
            could = true;
        }
        self.finish(s);
        could
    }

    /// 23505: everything is rolled back, with the outcomes of the transaction.
    fn claim_fails(&mut self, s: usize, fault: Fault) {
        self.roll_back(s);
        if fault == Fault::FoundIsDropped {
            let session = &mut self.sessions[s];
            session.held = session.held.without(session.found);
            session.found = Set::NONE;
        }
    }

    /// `COMPLETE`, or `SETTLE` of an event that is given back: waits for the rows.
    fn run_settle(&mut self, s: usize, fault: Fault) -> bool {
        let session = self.sessions[s];
        let new = match session.gives_back {
            true => Slot::Ready,
            false => Slot::Done,
        };
        let ids = session.ids.rows();
        let leased = ids.filter(|row| session.seen[*row] == Slot::Leased);
        let written: Set = leased
            .filter(|row| session.held.has(*row) && !self.rows[*row].is_expired)
            .collect();
        if written.rows().any(|row| self.is_locked(s, row)) {
            return false;
        }
        for row in written.rows() {
            self.write(s, row, new);
        }
        if fault == Fault::OldSnapshot {
            for row in written.rows() {
                self.sessions[s].seen[row] = new;
            }
            self.sessions[s].step = Step::UnblockNext;
        } else {
            self.end_statement(s, Step::Ended);
        }
        true
    }

    /// `RESCUE`. A worker's own leases are renewed instead.
    fn run_rescue(&mut self, s: usize) {
        let session = self.sessions[s];
        let rows = self.numbers();
        let expired: Set = rows
            .filter(|row| session.seen[*row] == Slot::Leased && !session.held.has(*row))
            .filter(|row| self.rows[*row].is_expired)
            .collect();
        for row in expired.rows() {
            if self.lock(s, row, |slot| slot == Slot::Leased) {
                self.write(s, row, Slot::Ready);
                self.sessions[s].ids.add(row);
            }
        }
        match self.sessions[s].ids.is_empty() {
            true => self.finish(s),
            false => self.end_statement(s, Step::Ended),
        }
    }

    /// The first blocked event of the lane of this row, by the snapshot.
    fn next_of(&self, s: usize, row: usize) -> Option<usize> {
        let seen = &self.sessions[s].seen;
        let lane = self.lane(self.rows[row].lane);
        lane.rows().find(|next| seen[*next] == Slot::Blocked)
    }

    /// `UNBLOCK_NEXT`.
    fn run_unblock_next(&mut self, s: usize, fault: Fault) {
        let session = self.sessions[s];
        let mut notes = Set::NONE;
        for done in session.ids.rows() {
            let is_out = match session.seen[done] {
                Slot::Absent => continue,
                slot => slot == Slot::Done,
            };
            let next = self.next_of(s, done).filter(|next| is_out || *next < done);
            let Some(next) = next else {
                continue;
            };
            if self.lock(s, next, |slot| slot == Slot::Blocked) {
                let is_late = fault == Fault::TimeOfTheStart && session.younger.has(next);
                let slot = if is_late { Slot::Later } else { Slot::Ready };
                self.write(s, next, slot);
            } else if is_out && self.leaves_note(s, done, fault) {
                notes.add(done);
            }
        }
        let session = &mut self.sessions[s];
        session.todo = notes;
        session.step = Step::WriteNote;
        self.run_write_note(s);
    }

    fn leaves_note(&self, s: usize, done: usize, fault: Fault) -> bool {
        let _ = (s, done);
        fault != Fault::NoNote
    }

    /// The update `n` of `UNBLOCK_NEXT`.
    fn run_write_note(&mut self, s: usize) -> bool {
        let todo = self.sessions[s].todo;
        let mut could = todo.is_empty();
        for row in todo.rows() {
            if self.is_locked(s, row) {
                return could;
            }
            if self.current(s, row) == Slot::Done {
                match self.unique(s, row) {
                    Unique::Free => self.write(s, row, Slot::Note),
                    Unique::Wait => return could,
                    Unique::Collision => {
                        self.roll_back(s);
                        self.sessions[s].step = Step::OutcomeFailed;
                        return true;
                    }
                }
            }
            self.sessions[s].todo.remove(row);
            could = true;
        }
        if !self.sessions[s].settles {
            self.sessions[s].ids = Set::NONE;
        }
        if self.sessions[s].claims_too {
            self.end_statement(s, Step::HandedOn);
            self.sessions[s].claims_too = false;
        } else {
            self.finish(s);
        }
        could
    }

    /// `LOCK_NOTES`.
    fn run_lock_notes(&mut self, s: usize) {
        let seen = self.sessions[s].seen;
        let rows = self.numbers();
        let notes: Set = rows.filter(|row| seen[*row] == Slot::Note).collect();
        for row in notes.rows() {
            if self.lock(s, row, |slot| slot == Slot::Note) {
                self.sessions[s].ids.add(row);
            }
        }
        match self.sessions[s].ids.is_empty() {
            true => self.finish(s),
            false => self.end_statement(s, Step::NotesLocked),
        }
    }

    /// `TAKE_UP_NOTES`.
    fn run_take_up_notes(&mut self, s: usize) {
        for note in self.sessions[s].ids.rows() {
            let is_taken_up = match self.next_of(s, note) {
                None => true,
                Some(next) => {
                    let is_locked = self.lock(s, next, |slot| slot == Slot::Blocked);
                    if is_locked {
                        self.write(s, next, Slot::Ready);
                    }
                    is_locked
                }
            };
            if is_taken_up {
                self.write(s, note, Slot::Done);
            }
        }
        self.sessions[s].ids = Set::NONE;
        self.finish(s);
    }

    /// `DEMOTE`: finds the front `f` and locks it in `k`.
    fn run_demote(&mut self, s: usize, fault: Fault) {
        let session = self.sessions[s];
        let lane = self.lane(session.lane);
        let taken = lane.rows().find(|row| session.seen[*row].is_taken());
        let first = lane.rows().find(|row| session.seen[*row].is_front());
        let Some(front) = taken.or(first) else {
            return self.finish(s);
        };
        let is_there = |slot: Slot| slot.is_front() || slot.is_taken();
        let is_locked = match fault {
            Fault::FrontNotLocked => is_there(self.current(s, front)),
            _ => self.lock(s, front, is_there),
        };
        if is_locked {
            self.sessions[s].ids = Set::of(front);
            self.sessions[s].step = Step::DemoteOthers;
        } else {
            self.finish(s);
        }
    }

    /// `DEMOTE`: locks the others in `x` and blocks them.
    fn run_demote_others(&mut self, s: usize) {
        let session = self.sessions[s];
        let others = self.lane(session.lane).without(session.ids);
        for row in others.rows().filter(|row| session.seen[*row].is_front()) {
            if self.lock(s, row, Slot::is_front) {
                self.write(s, row, Slot::Blocked);
            }
        }
        self.sessions[s].ids = Set::NONE;
        self.finish(s);
    }

    /// `DELETE`: waits for the rows.
    fn run_delete(&mut self, s: usize) -> bool {
        let session = self.sessions[s];
        let ids = session.ids.rows();
        let there: Set = ids.filter(|row| session.seen[*row] != Slot::Absent).collect();
        if there.rows().any(|row| self.is_locked(s, row)) {
            return false;
        }
        let mut leaves_lane = false;
        for row in there.rows() {
            let slot = self.current(s, row);
            if slot != Slot::Absent {
                leaves_lane |= !slot.is_out();
                self.write(s, row, Slot::Absent);
            }
        }
        self.sessions[s].ids = Set::NONE;
        match leaves_lane {
            true => self.end_statement(s, Step::Deleted),
            false => self.finish(s),
        }
        true
    }

    /// `UNBLOCK`: waits for the row.
    fn run_unblock(&mut self, s: usize, fault: Fault) -> bool {
        let session = self.sessions[s];
        let lane = self.lane(session.lane);
        let next = lane.rows().find(|row| session.seen[*row] == Slot::Blocked);
        if let Some(next) = next {
            if self.is_locked(s, next) && fault != Fault::UnblockSkips {
                return false;
            }
            if self.lock(s, next, |slot| slot == Slot::Blocked) {
                self.write(s, next, Slot::Ready);
            }
        }
        self.finish(s);
        true
    }

    /// `FOLD` where the newest event of the lane is a create and a delete is enqueued: both are done.
    /// A lock that finds another row than it looked for is dropped with the savepoint.
    fn run_cancel(&mut self, s: usize, fault: Fault) {
        let session = self.sessions[s];
        let lane = self.lane(session.lane);
        let open = lane.rows().filter(|row| session.seen[*row].is_open());
        let newest = open.last();
        let waits = |slot: Slot| slot.is_front() || slot == Slot::Blocked;
        let found = newest.filter(|row| waits(session.seen[*row]) && !self.rows[*row].was_attempted);
        let Some(row) = found.filter(|row| self.lock(s, *row, waits)) else {
            return self.roll_back(s);
        };
        if self.rows[row].was_attempted {
            return self.roll_back(s);
        }
        self.write(s, row, Slot::Done);
        self.sessions[s].lane = 0;
        if fault == Fault::CancelUnblocksNothing {
            self.finish(s);
        } else {
            self.sessions[s].ids = Set::of(row);
            self.end_statement(s, Step::Ended);
        }
    }
}

//! The statements of applications and of people, in the steps in which they can meet others.

use super::faults::Fault;
use super::state::{Slot, State, Step};
use crate::set::Set;

impl State {
    /// `DELETE`, after it could lock the rows. `false` if it has to wait for one.
    pub(super) fn run_delete(&mut self, s: usize, ids: Set) -> bool {
        if ids.rows().any(|row| self.is_locked(s, row)) {
            return false;
        }
        for row in ids.rows() {
            self.sessions[s].lane = self.rows[row].lane;
            self.write(s, row, Slot::Absent);
        }
        self.end_statement(s, Step::Deleted);
        true
    }

    /// `complete`: an application completes a leased event. The first one of its lane keeps a note.
    pub(super) fn begin_complete(&mut self, s: usize, row: usize) {
        if self.lock(s, row, Slot::is_leased) {
            let is_first = self.current(s, row) == Slot::Leased;
            let new = if is_first { Slot::Note } else { Slot::Done };
            self.write(s, row, new);
        }
        self.finish(s);
    }

    /// `UNBLOCK`, by its snapshot: the first blocked event, or the follower that holds the lane
    /// from now on.
    pub(super) fn begin_unblock(&mut self, s: usize, fault: Fault) {
        let lane = std::mem::take(&mut self.sessions[s].lane);
        let lane = self.lane(lane);
        let followers = self.seen(s, lane, |slot| slot == Slot::Follower);
        if let Some(first) = followers.rows().next()
            && fault != Fault::DeletionMissesFollowers
        {
            if !self.seen(s, lane, Slot::is_taken).is_empty() {
                return self.finish(s);
            }
            let session = &mut self.sessions[s];
            session.step = Step::Unblock;
            session.next = Set::of(first);
            session.todo = Set::of(first);
            return;
        }
        let blocked = self.seen(s, lane, |slot| slot == Slot::Blocked);
        match blocked.rows().next() {
            None => self.finish(s),
            Some(next) => {
                let session = &mut self.sessions[s];
                session.step = Step::Unblock;
                session.next = Set::of(next);
            }
        }
    }

    /// `UNBLOCK`: waits for the row. If that is not blocked anymore, it looks for the next one by a
    /// new snapshot.
    pub(super) fn run_unblock(&mut self, s: usize, fault: Fault) -> bool {
        for next in self.sessions[s].next.rows() {
            if self.is_locked(s, next) && fault != Fault::UnblockSkips {
                return false;
            }
            let (old, new) = match self.sessions[s].todo.has(next) {
                true => (Slot::Follower, Slot::Leased),
                false => (Slot::Blocked, Slot::Ready),
            };
            if self.lock(s, next, |slot| slot == old) {
                self.write(s, next, new);
            } else if fault != Fault::UnblockSkips && fault != Fault::UnblockOnce {
                self.sessions[s].lane = self.rows[next].lane;
                self.end_statement(s, Step::Deleted);
                return true;
            }
        }
        self.finish(s);
        true
    }

    /// `fold`, by its snapshot: the newest event of the lane, if a delete meets the create that
    /// waits there.
    pub(super) fn begin_cancel(&mut self, s: usize, lane: u8) {
        let open = self.seen(s, self.lane(lane), |slot| {
            slot.is_waiting() || slot == Slot::Leased
        });
        if let Some(newest) = open.rows().last()
            && waits(self.current(s, newest))
        {
            self.sessions[s].next = Set::of(newest);
            self.sessions[s].ids = self.seen(s, self.lane(lane), |slot| slot == Slot::Note);
            self.sessions[s].step = Step::Cancel;
        }
    }

    /// `fold`: both are done. A front keeps a note, because the snapshot may lack events that are
    /// blocked behind it by now; the front of a blocked one looks for the next itself. A note that
    /// the lane has already serves for both while it is locked. A lock on a row that is not as
    /// expected anymore is dropped with the savepoint.
    pub(super) fn run_cancel(&mut self, s: usize, fault: Fault) {
        for row in self.sessions[s].next.rows() {
            if !self.lock(s, row, waits) {
                return self.roll_back(s);
            }
            let notes = std::mem::take(&mut self.sessions[s].ids);
            let mut serves = |note| match fault {
                Fault::CancelTrustsANote => true,
                _ => self.lock(s, note, |slot| slot == Slot::Note),
            };
            let has_note = notes.rows().any(&mut serves);
            let is_blocked = self.current(s, row) == Slot::Blocked;
            if is_blocked || has_note || fault == Fault::CancelUnblocksNothing {
                self.write(s, row, Slot::Done);
                self.finish(s);
            } else {
                let session = &mut self.sessions[s];
                session.next = Set::NONE;
                session.todo = Set::of(row);
                session.step = Step::WriteNote;
                self.run_write_note(s);
            }
        }
    }
}

/// Whether an event may be folded into, as far as its slot tells.
fn waits(slot: Slot) -> bool {
    slot.is_front() || slot == Slot::Blocked
}

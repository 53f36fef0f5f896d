//! The statements of workers, in the steps in which they can meet others.
//!
//! A statement begins with its snapshot, by which it decides what it looks for (`begin_..`), and
//! takes effect at a later moment on the newest versions of these rows (`run_..`). Where a
//! statement decides nothing by its snapshot that it does not check again, both are one step.

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
            Step::Settle => return self.run_settle(s, false, fault),
            Step::Ended => self.begin_unblock_next(s, fault),
            Step::Completed => self.begin_unblock_lanes(s, fault),
            Step::EndedTogether => self.begin_unblock_after_batch(s, fault),
            Step::Promote => return self.run_promote(s, fault),
            Step::Follow => self.run_follow(s, fault),
            Step::UnblockNext => self.run_unblock_next(s, fault),
            Step::WriteNote => return self.run_write_note(s),
            Step::HandedOn => self.begin_claim(s, self.numbers().collect(), fault),
            Step::NotesLocked => self.begin_take_up_notes(s, fault),
            Step::TakeUpNotes => self.run_take_up_notes(s),
            Step::Demote => self.run_demote(s, fault),
            Step::DemoteOthers => self.run_demote_others(s),
            Step::Deleted => self.begin_unblock(s, fault),
            Step::Unblock => return self.run_unblock(s, fault),
            Step::Cancel => self.run_cancel(s, fault),
            Step::OutcomeFailed => self.sessions[s].step = Step::Idle,
            Step::Idle | Step::None => return false,
        }
        true
    }

    /// The rows of these that the session sees in such a slot.
    pub(super) fn seen(&self, s: usize, rows: Set, is: impl Fn(Slot) -> bool) -> Set {
        let rows = rows.rows();
        rows.filter(|row| is(self.current(s, *row))).collect()
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
    pub(super) fn finish(&mut self, s: usize) {
        self.end_statement(s, Step::Commit);
        let session = &self.sessions[s];
        if session.locked.is_empty() && !session.settles {
            self.roll_back(s);
        }
    }

    /// `stage`, by its snapshot: the candidates, and which of them are not behind others.
    pub(super) fn begin_claim(&mut self, s: usize, scan: Set, fault: Fault) {
        let ready = self.seen(s, scan, |slot| slot == Slot::Ready);
        let first = ready.rows().filter(|row| !self.is_behind(s, *row, fault));
        let first = first.collect();
        let session = &mut self.sessions[s];
        session.step = Step::Claim;
        session.next = ready;
        session.todo = first;
    }

    /// `BEHIND`.
    pub(super) fn is_behind(&self, s: usize, row: usize, fault: Fault) -> bool {
        let lane = self.lane(self.rows[row].lane);
        let fronts = self.seen(s, lane, Slot::is_front);
        let is_behind_front = fronts.rows().any(|other| other < row);
        let is_behind_taken = !self.seen(s, lane, Slot::is_taken).is_empty();
        (is_behind_front && fault != Fault::NoFrontCheck) || is_behind_taken
    }

    /// `stage`: locks the candidates in `c` and leases in `u` those that were not behind others. A
    /// row that was changed since the snapshot has another `ctid`, and `u` does not find it.
    fn run_claim(&mut self, s: usize, fault: Fault) {
        for row in self.sessions[s].next.rows() {
            if !self.lock(s, row, |slot| slot == Slot::Ready) {
                self.sessions[s].todo.remove(row);
            }
        }
        self.sessions[s].next = Set::NONE;
        self.sessions[s].step = Step::Lease;
        self.run_lease(s, fault);
    }

    /// The entries into `events_taken`, in the order of the lanes.
    fn run_lease(&mut self, s: usize, fault: Fault) -> bool {
        let todo = self.sessions[s].todo;
        let mut could = todo.is_empty();
        for lane in 0..2 {
            for row in todo.both(self.lane(lane)).rows() {
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

    /// `COMPLETE`, or `SETTLE` of an event that is given back, after it could lock the rows. A row
    /// is leased under a token exactly as long as the worker `held` it. If it holds several of a
    /// lane, the outcomes of other lanes take the same way here.
    pub(super) fn run_settle(&mut self, s: usize, knows_lanes: bool, fault: Fault) -> bool {
        let session = self.sessions[s];
        let new = |slot| match slot {
            _ if !session.gives_back => Slot::Done,
            Slot::Follower => Slot::Blocked,
            _ => Slot::Ready,
        };
        let written = session.ids.both(session.held);
        if written.rows().any(|row| self.is_locked(s, row)) {
            return false;
        }
        for row in written.rows() {
            self.write(s, row, new(self.current(s, row)));
        }
        let is_shared = !session.ids.both(session.shared).is_empty();
        let is_shared = is_shared && fault != Fault::ForgetsFollowers;
        if fault == Fault::OldSnapshot {
            // The next rows were decided on when the statement began.
            self.sessions[s].step = Step::UnblockNext;
        } else if is_shared || !knows_lanes {
            self.end_statement(s, Step::EndedTogether);
        } else if session.gives_back {
            self.end_statement(s, Step::Ended);
        } else {
            self.end_statement(s, Step::Completed);
        }
        true
    }

    /// `RESCUE` of a lease that has run out at this moment. A worker's own leases are renewed
    /// instead.
    pub(super) fn run_rescue(&mut self, s: usize, ids: Set) {
        let mut locked = Set::NONE;
        for row in ids.rows() {
            if self.lock(s, row, Slot::is_leased) {
                locked.add(row);
            }
        }
        for row in locked.rows() {
            match self.current(s, row) {
                Slot::Follower => self.write(s, row, Slot::Blocked),
                _ if self.may_go_back(s, row, locked) => self.write(s, row, Slot::Ready),
                _ => continue,
            }
            self.sessions[s].ids.add(row);
        }
        match self.sessions[s].ids.is_empty() {
            true => self.finish(s),
            false => self.end_statement(s, Step::EndedTogether),
        }
    }

    /// `MAY_GO_BACK`: locks a follower that can take the place of this row, unless all go back.
    fn may_go_back(&mut self, s: usize, row: usize, locked: Set) -> bool {
        let lane = self.lane(self.rows[row].lane);
        let followers = self.seen(s, lane, |slot| slot == Slot::Follower);
        let followers = followers.without(locked);
        let mut lock = |follower| self.lock(s, follower, |slot| slot == Slot::Follower);
        followers.is_empty() || followers.rows().any(&mut lock)
    }

    /// `NEXT_OF_LEASED`, by its snapshot: the rows behind the leased one.
    pub(super) fn begin_follow(&mut self, s: usize, after: usize, all: bool, fault: Fault) {
        let lane = self.lane(self.rows[after].lane);
        let waiting = self.seen(s, lane, Slot::is_waiting);
        let joined_before = waiting.rows().any(|row| row < after);
        if joined_before && fault != Fault::FollowsPastEarlier {
            return;
        }
        let open = self.seen(s, lane, Slot::is_open);
        let next = open.rows().filter(|row| *row > after);
        let next = next.take_while(|row| waiting.has(*row));
        let next: Set = next.take(if all { usize::MAX } else { 1 }).collect();
        if !next.is_empty() {
            let session = &mut self.sessions[s];
            session.step = Step::Follow;
            session.ids = Set::of(after);
            session.next = next;
        }
    }

    /// `NEXT_OF_LEASED`: locks the leased row and those behind it, up to the first that it cannot
    /// lock, which `LEASE_FOLLOWERS` leases then.
    fn run_follow(&mut self, s: usize, fault: Fault) {
        let (after, next) = (self.sessions[s].ids, self.sessions[s].next);
        self.sessions[s].ids = Set::NONE;
        let held = self.sessions[s].held;
        let mut holds = after.rows().filter(|row| held.has(*row));
        let holds = match fault {
            Fault::FollowsUnlocked => holds.next().is_some(),
            _ => {
                holds.all(|row| self.lock(s, row, Slot::is_leased)) && !after.both(held).is_empty()
            }
        };
        if holds {
            for row in next.rows() {
                if !self.lock(s, row, |slot| matches!(slot, Slot::Ready | Slot::Blocked)) {
                    break;
                }
                self.write(s, row, Slot::Follower);
            }
        }
        if self.sessions[s].written.is_empty() {
            return self.roll_back(s);
        }
        self.finish(s);
    }

    /// The rows of the transaction's purpose, lane by lane.
    fn lanes_of(&self, rows: Set) -> impl Iterator<Item = Set> + use<> {
        let lanes = [self.lane(0), self.lane(1)];
        let lanes = lanes.into_iter();
        lanes.filter(move |lane| !lane.both(rows).is_empty())
    }

    /// `UNBLOCK_AFTER_BATCH`, by its snapshot: `z`. Where lanes have followers, the others are
    /// looked at by a snapshot of their own here.
    fn begin_unblock_after_batch(&mut self, s: usize, fault: Fault) {
        let ids = self.sessions[s].ids;
        let (mut next, mut out) = (Set::NONE, Set::NONE);
        for lane in self.lanes_of(ids) {
            let followers = self.seen(s, lane, |slot| slot == Slot::Follower);
            if self.seen(s, lane, Slot::is_taken).is_empty() && !followers.is_empty() {
                next = next.with(followers);
                out = out.with(self.ended_last(s, lane.both(ids), fault));
            }
        }
        if next.is_empty() {
            return self.begin_unblock_rest(s, Set::NONE, fault);
        }
        let session = &mut self.sessions[s];
        session.next = next;
        session.todo = out;
        session.step = Step::Promote;
    }

    /// The last of these rows that this transaction has ended: it can keep a note.
    fn ended_last(&self, s: usize, rows: Set, fault: Fault) -> Set {
        let is_out = |row: &usize| self.current(s, *row) == Slot::Done;
        let out = rows.rows().filter(is_out);
        let out = out.filter(|row| self.leaves_note(s, *row, fault));
        out.last().map_or(Set::NONE, Set::of)
    }

    /// `UNBLOCK_AFTER_BATCH`: lets the first follower that it can lock in `p` hold the lane. Where
    /// there is none, an ended event keeps a note, or it waits in `q`.
    fn run_promote(&mut self, s: usize, fault: Fault) -> bool {
        let next = self.sessions[s].next;
        for lane in self.lanes_of(next) {
            let mut followers = lane.both(next).rows();
            let lock = |row: &usize| self.lock(s, *row, |slot| slot == Slot::Follower);
            if let Some(first) = followers.find(lock) {
                self.write(s, first, Slot::Leased);
                self.sessions[s].todo = self.sessions[s].todo.without(lane);
            } else if self.sessions[s].todo.both(lane).is_empty()
                && fault != Fault::FollowersSkipped
                && lane.both(next).rows().any(|row| self.is_locked(s, row))
            {
                return false;
            }
            self.sessions[s].next = self.sessions[s].next.without(lane);
        }
        let lanes = self.lanes_of(next).fold(Set::NONE, Set::with);
        self.begin_unblock_rest(s, lanes, fault);
        true
    }

    /// `UNBLOCK_AFTER_BATCH`, by its snapshot: `f`, in other lanes than these.
    fn begin_unblock_rest(&mut self, s: usize, lanes: Set, fault: Fault) {
        let ids = self.sessions[s].ids;
        let (mut next, mut out) = (Set::NONE, self.sessions[s].todo);
        for lane in self.lanes_of(ids.without(lanes)) {
            if !self.seen(s, lane, Slot::is_taken).is_empty() {
                continue;
            }
            let blocked = self.seen(s, lane, |slot| slot == Slot::Blocked);
            let fronts = self.seen(s, lane, Slot::is_front);
            let own = fronts.both(self.sessions[s].written);
            let first = blocked.rows().next();
            if let Some(first) = first.filter(|first| own.rows().all(|front| front > *first)) {
                next.add(first);
                out = out.with(self.ended_last(s, lane.both(ids), fault));
            }
        }
        let session = &mut self.sessions[s];
        session.next = next;
        session.todo = out;
        session.step = Step::UnblockNext;
    }

    /// The first blocked event of the lane of this row.
    fn next_of(&self, s: usize, row: usize) -> Option<usize> {
        let lane = self.lane(self.rows[row].lane);
        let blocked = self.seen(s, lane, |slot| slot == Slot::Blocked);
        blocked.rows().next()
    }

    /// `UNBLOCK_NEXT`, by its snapshot: `f`.
    pub(super) fn begin_unblock_next(&mut self, s: usize, fault: Fault) {
        let (mut next, mut out) = (Set::NONE, Set::NONE);
        for row in self.sessions[s].ids.rows() {
            let slot = self.current(s, row);
            // In the same statement, a row is not seen as done yet.
            let is_out =
                slot == Slot::Done || fault == Fault::OldSnapshot && !self.sessions[s].gives_back;
            let found = self.next_of(s, row).filter(|next| is_out || *next < row);
            if let Some(found) = found.filter(|_| slot != Slot::Absent) {
                next.add(found);
                if is_out && self.leaves_note(s, row, fault) {
                    out.add(row);
                }
            }
        }
        let session = &mut self.sessions[s];
        session.next = next;
        session.todo = out;
        session.step = match fault {
            Fault::OldSnapshot => Step::Settle,
            _ => Step::UnblockNext,
        };
    }

    /// `UNBLOCK_LANES`, by its snapshot: `f`. It reads no event that has ended, so it looks behind
    /// one whose lease was lost, too.
    fn begin_unblock_lanes(&mut self, s: usize, fault: Fault) {
        let (mut next, mut out) = (Set::NONE, Set::NONE);
        for row in self.sessions[s].ids.rows() {
            if let Some(found) = self.next_of(s, row) {
                next.add(found);
                if self.leaves_note(s, row, fault) {
                    out.add(row);
                }
            }
        }
        let session = &mut self.sessions[s];
        session.next = next;
        session.todo = out;
        session.step = Step::UnblockNext;
    }

    /// Whether the row keeps a note if its next event is locked: if this transaction has ended it.
    fn leaves_note(&self, s: usize, row: usize, fault: Fault) -> bool {
        match fault {
            Fault::NoNote => false,
            Fault::StaleNote | Fault::OldSnapshot => true,
            _ => self.sessions[s].written.has(row),
        }
    }

    /// `UNBLOCK_NEXT`: locks the next ones in `k` and unblocks them, and leaves notes in `n` where
    /// it could not.
    fn run_unblock_next(&mut self, s: usize, fault: Fault) {
        for next in self.sessions[s].next.rows() {
            if !self.lock(s, next, |slot| slot == Slot::Blocked) {
                continue;
            }
            let is_late = fault == Fault::TimeOfTheStart && self.sessions[s].younger.has(next);
            self.write(s, next, if is_late { Slot::Later } else { Slot::Ready });
            let lane = self.lane(self.rows[next].lane);
            let session = &mut self.sessions[s];
            session.todo = session.todo.without(lane);
        }
        let session = &mut self.sessions[s];
        session.next = Set::NONE;
        session.step = Step::WriteNote;
        self.run_write_note(s);
    }

    /// The update `n` of `UNBLOCK_NEXT`, and that of a cancelled front.
    pub(super) fn run_write_note(&mut self, s: usize) -> bool {
        let todo = self.sessions[s].todo;
        let mut could = todo.is_empty();
        for row in todo.rows() {
            if self.is_locked(s, row) {
                return could;
            }
            if matches!(self.current(s, row), Slot::Done | Slot::Ready) {
                match self.unique(s, row) {
                    Unique::Free => self.write(s, row, Slot::Note),
                    Unique::Wait => return could,
                    Unique::Collision => {
                        let settles = self.sessions[s].settles;
                        self.roll_back(s);
                        if settles {
                            self.sessions[s].step = Step::OutcomeFailed;
                        }
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
            self.sessions[s].claims_too = false;
            self.end_statement(s, Step::HandedOn);
        } else {
            self.finish(s);
        }
        could
    }

    /// `LOCK_NOTES`.
    pub(super) fn run_lock_notes(&mut self, s: usize) {
        for row in self.committed(|slot| slot == Slot::Note).rows() {
            if self.lock(s, row, |slot| slot == Slot::Note) {
                self.sessions[s].ids.add(row);
            }
        }
        match self.sessions[s].ids.is_empty() {
            true => self.finish(s),
            false => self.end_statement(s, Step::NotesLocked),
        }
    }

    /// `TAKE_UP_NOTES`, by its snapshot: `f`, and the followers of lanes that have any.
    fn begin_take_up_notes(&mut self, s: usize, fault: Fault) {
        let (mut next, mut followed) = (Set::NONE, Set::NONE);
        for note in self.sessions[s].ids.rows() {
            let lane = self.lane(self.rows[note].lane);
            let followers = self.seen(s, lane, |slot| slot == Slot::Follower);
            if followers.is_empty() || fault == Fault::NoteMissesFollowers {
                next = next.with(self.next_of(s, note).map_or(Set::NONE, Set::of));
            } else {
                next = next.with(followers);
                followed.add(note);
            }
        }
        let session = &mut self.sessions[s];
        session.next = next;
        session.todo = followed;
        session.step = Step::TakeUpNotes;
    }

    /// `TAKE_UP_NOTES`: unblocks the next ones in `k`, and drops in `n` the notes that are taken
    /// up. A follower takes the place of its note.
    fn run_take_up_notes(&mut self, s: usize) {
        let mut left = Set::NONE;
        let mut blocked = self.sessions[s].next;
        for note in self.sessions[s].todo.rows() {
            let lane = self.lane(self.rows[note].lane);
            let mut followers = lane.both(blocked).rows();
            let lock = |row: &usize| self.lock(s, *row, |slot| slot == Slot::Follower);
            match followers.find(lock) {
                Some(first) => self.write(s, first, Slot::Leased),
                None => left.add(note),
            }
            blocked = blocked.without(lane);
        }
        for next in blocked.rows() {
            if self.lock(s, next, |slot| slot == Slot::Blocked) {
                self.write(s, next, Slot::Ready);
            } else {
                left = left.with(self.lane(self.rows[next].lane));
            }
        }
        for note in self.sessions[s].ids.without(left).rows() {
            self.write(s, note, Slot::Done);
        }
        self.sessions[s].ids = Set::NONE;
        self.finish(s);
    }

    /// `DEMOTE`, by its snapshot: the front `f`, and the candidates `x` beside it.
    pub(super) fn begin_demote(&mut self, s: usize, lane: u8, fault: Fault) {
        let lane = self.lane(lane);
        let fronts = self.seen(s, lane, Slot::is_front);
        let taken = self.seen(s, lane, Slot::is_taken).rows().next();
        if let Some(front) = taken.or(fronts.rows().next()) {
            let session = &mut self.sessions[s];
            session.step = Step::Demote;
            session.ids = Set::of(front);
            session.next = match fault {
                Fault::BlocksEarlier => fronts.without(session.ids),
                _ => fronts.rows().filter(|row| *row > front).collect(),
            };
        }
    }

    /// `DEMOTE`: locks the front in `k`.
    fn run_demote(&mut self, s: usize, fault: Fault) {
        let is_there = |slot: Slot| slot.is_front() || slot.is_taken();
        for front in self.sessions[s].ids.rows() {
            let is_locked = match fault {
                Fault::FrontNotLocked => is_there(self.current(s, front)),
                _ => self.lock(s, front, is_there),
            };
            self.sessions[s].ids = Set::NONE;
            match is_locked {
                true => self.sessions[s].step = Step::DemoteOthers,
                false => self.finish(s),
            }
        }
    }

    /// `DEMOTE`: locks the others in `x` and blocks them.
    fn run_demote_others(&mut self, s: usize) {
        for row in self.sessions[s].next.rows() {
            if self.lock(s, row, Slot::is_front) {
                self.write(s, row, Slot::Blocked);
            }
        }
        self.finish(s);
    }
}

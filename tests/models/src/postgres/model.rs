//! What sessions may begin, and the steps from one state to the next.

use stateright::{Model, Property};

use super::faults::Fault;
use super::promises::properties;
use super::state::{Slot, State, Step};
use crate::set::Set;

/// The size of the model, and what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct Postgres {
    /// Sessions, each of which may be an application's or a worker's at any time.
    pub sessions: usize,
    /// Lanes.
    pub lanes: u8,
    /// Events that are enqueued in all.
    pub events: u8,
    /// What happens beside enqueueing, claiming, demoting, completing, rescues and notes.
    pub also: Also,
    /// The fault, or none.
    pub fault: Fault,
}

/// What happens, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Also {
    /// Batches, one event of which is blocked behind another.
    pub batches: bool,
    /// Applications that keep rows locked.
    pub edits: bool,
    /// Creates that are cancelled.
    pub cancels: bool,
    /// Events that are deleted.
    pub deletes: bool,
    /// Events that are given back.
    pub returns: bool,
    /// Outcomes of workers whose lease was taken away.
    pub late_outcomes: bool,
    /// Claims in the transaction of outcomes.
    pub exchanges: bool,
    /// Workers that have forgotten the lanes of their events and read them again:
    /// `UNBLOCK_AFTER_BATCH` for all outcomes.
    pub forgotten_lanes: bool,
    /// Workers that lease several events of a lane.
    pub follows: bool,
    /// Applications that complete leased events in their transactions.
    pub completes: bool,
    /// Processes that die, and transactions that are rolled back by chance.
    pub crashes: bool,
}

impl Also {
    /// All of these, by workers that know their lanes and lease one event of each.
    pub const ALL: Self = Self {
        batches: true,
        edits: true,
        cancels: true,
        deletes: true,
        returns: true,
        late_outcomes: true,
        exchanges: true,
        forgotten_lanes: false,
        follows: false,
        completes: false,
        crashes: true,
    };
}

/// What an idle session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Enqueues an event in this lane.
    Enqueue(u8),
    /// Enqueues an event in this lane, and one blocked behind it.
    EnqueueTwo(u8),
    /// Locks a row and edits it.
    Edit(usize),
    /// Cancels the newest event of this lane.
    Cancel(u8),
    /// Claims these candidates, as far as they are first in their lanes.
    Claim(Set),
    /// Leases events behind this one, which is leased.
    Follow {
        /// The leased event.
        after: usize,
        /// All of them rather than one.
        all: bool,
    },
    /// Completes this leased event in the transaction of an application.
    Complete(usize),
    /// Records outcomes.
    Settle {
        /// Of these events.
        ids: Set,
        /// Whether they are given back rather than done.
        gives_back: bool,
        /// Whether a claim follows in the same transaction.
        claims_too: bool,
    },
    /// Takes back these events, whose leases have run out.
    Rescue(Set),
    /// Takes up notes.
    TakeUpNotes,
    /// Blocks the candidates of this lane behind its front.
    Demote(u8),
    /// Deletes these events of one lane.
    Delete(Set),
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A session begins something.
    Begin(usize, Op),
    /// A session runs its next step.
    Run(usize),
    /// A transaction is rolled back: by the application, after a timeout or a deadlock.
    RollBack(usize),
    /// The process of a session dies, and another one takes its place.
    Crash(usize),
}

impl Postgres {
    /// All that is modelled, without a fault.
    #[must_use]
    pub const fn of(sessions: usize, lanes: u8, events: u8) -> Self {
        Self {
            sessions,
            lanes,
            events,
            also: Also::ALL,
            fault: Fault::None,
        }
    }

    /// What an idle session may begin.
    fn ops(&self, state: &State, s: usize) -> Vec<Op> {
        let session = &state.sessions[s];
        let mut ops = Vec::new();
        for lane in 0..self.lanes {
            let is_first_of_two = lane > 0 && state.count == 0;
            if state.left > 0 && !is_first_of_two {
                ops.push(Op::Enqueue(lane));
                if state.left > 1 && self.also.batches {
                    ops.push(Op::EnqueueTwo(lane));
                }
            }
            let in_lane = |set: Set| state.lane(lane).both(set);
            if !in_lane(state.committed(Slot::is_front)).is_empty()
                && in_lane(state.committed(|slot| slot.is_front() || slot.is_taken())).len() > 1
            {
                ops.push(Op::Demote(lane));
            }
            let waiting = in_lane(state.committed(|slot| slot.is_front() || slot == Slot::Blocked));
            if self.also.cancels && !waiting.is_empty() {
                ops.push(Op::Cancel(lane));
            }
            if self.also.edits {
                let free = waiting.rows().filter(|row| !state.is_locked(s, *row));
                ops.extend(free.map(Op::Edit));
            }
            let there = in_lane(state.committed(|slot| !slot.is_out()));
            if self.also.deletes {
                ops.extend(there.rows().map(|row| Op::Delete(Set::of(row))));
                if there.len() > 1 {
                    ops.push(Op::Delete(there));
                }
            }
        }
        let ready = state.committed(|slot| slot == Slot::Ready);
        if !ready.is_empty() {
            ops.push(Op::Claim(ready));
            if ready.len() > 1 {
                let first = ready
                    .rows()
                    .filter(|row| !state.is_behind(s, *row, self.fault));
                ops.extend(first.map(|row| Op::Claim(Set::of(row))));
            }
        }
        if self.also.follows {
            for after in session.held.rows() {
                let lane = state.lane(state.rows[after].lane);
                let later = lane.rows().filter(|row| *row > after);
                let later: Set = later.collect();
                let waiting = later.both(state.committed(Slot::is_waiting));
                if later.both(session.held).is_empty() && !waiting.is_empty() {
                    ops.push(Op::Follow { after, all: false });
                    if waiting.len() > 1 {
                        ops.push(Op::Follow { after, all: true });
                    }
                }
            }
        }
        if self.also.completes {
            let leased = state.committed(Slot::is_leased).rows();
            let free = leased.filter(|row| !state.is_locked(s, *row));
            ops.extend(free.map(Op::Complete));
        }
        let known = session.held.with(session.stale);
        for ids in known.rows().map(Set::of).chain([known]) {
            if ids.is_empty() || (ids == known && known.len() == 1 && ops.contains(&settle(ids))) {
                continue;
            }
            ops.push(settle(ids));
            if self.also.exchanges {
                ops.push(Op::Settle {
                    ids,
                    gives_back: false,
                    claims_too: true,
                });
            }
            if self.also.returns && !ids.both(session.held).is_empty() {
                ops.push(Op::Settle {
                    ids,
                    gives_back: true,
                    claims_too: false,
                });
            }
        }
        let leased = state.committed(Slot::is_leased);
        let others = leased.without(session.held);
        ops.extend(others.rows().map(|row| Op::Rescue(Set::of(row))));
        if others.len() > 1 {
            ops.push(Op::Rescue(others));
        }
        if !state.committed(|slot| slot == Slot::Note).is_empty() {
            ops.push(Op::TakeUpNotes);
        }
        ops
    }

    /// Begins something in an idle session. Returns whether it could: if not, it waits for another
    /// one.
    pub(super) fn begin(&self, state: &mut State, s: usize, op: Op) -> bool {
        if !matches!(op, Op::Claim(_)) {
            // The call that found them has returned them.
            state.sessions[s].found = Set::NONE;
        }
        match op {
            Op::Enqueue(lane) => {
                enqueue(state, s, lane, Slot::Ready);
                state.sessions[s].step = Step::Commit;
            }
            Op::EnqueueTwo(lane) => {
                enqueue(state, s, lane, Slot::Ready);
                enqueue(state, s, lane, Slot::Blocked);
                state.sessions[s].step = Step::Commit;
            }
            Op::Edit(row) => {
                let slot = state.rows[row].slot;
                state.write(s, row, slot);
                state.sessions[s].step = Step::Commit;
            }
            Op::Cancel(lane) => state.begin_cancel(s, lane),
            Op::Claim(ids) => state.begin_claim(s, ids, self.fault),
            Op::Follow { after, all } => state.begin_follow(s, after, all, self.fault),
            Op::Complete(row) => state.begin_complete(s, row),
            Op::Settle {
                ids,
                gives_back,
                claims_too,
            } => {
                let session = &mut state.sessions[s];
                session.ids = ids;
                session.settles = true;
                session.gives_back = gives_back;
                session.claims_too = claims_too;
                match self.fault {
                    Fault::OldSnapshot => state.begin_unblock_next(s, self.fault),
                    // The transaction begins before the wait for the rows.
                    Fault::TimeOfTheStart => state.sessions[s].step = Step::Settle,
                    _ => {
                        let knows_lanes = !self.also.forgotten_lanes;
                        return state.run_settle(s, knows_lanes, self.fault);
                    }
                }
            }
            Op::Rescue(ids) => state.run_rescue(s, ids),
            Op::TakeUpNotes => state.run_lock_notes(s),
            Op::Demote(lane) => state.begin_demote(s, lane, self.fault),
            Op::Delete(ids) => return state.run_delete(s, ids),
        }
        true
    }

    /// Runs the next step of a session. Returns whether it could.
    pub(super) fn run(&self, state: &mut State, s: usize) -> bool {
        let could = state.run(s, self.fault);
        if self.fault != Fault::FoundIsDropped {
            state.sessions[s].found = Set::NONE;
        }
        could
    }
}

const fn settle(ids: Set) -> Op {
    Op::Settle {
        ids,
        gives_back: false,
        claims_too: false,
    }
}

/// `INSERT`, and what the order has to keep.
fn enqueue(state: &mut State, s: usize, lane: u8, slot: Slot) {
    let row = usize::from(state.count);
    let own = state.sessions[s].written;
    let before = state.committed(Slot::is_open).with(own);
    state.count += 1;
    state.left -= 1;
    state.rows[row].lane = lane;
    state.rows[row].before = before.both(state.lane(lane));
    state.rows[row].before.remove(row);
    state.write(s, row, slot);
    for (other, session) in state.sessions.iter_mut().enumerate() {
        if other != s && session.step > Step::Commit && session.step != Step::None {
            session.younger.add(row);
        }
    }
}

impl Model for Postgres {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.sessions, self.events)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for s in 0..state.sessions.len() {
            if s > 0 && state.sessions[s] == state.sessions[s - 1] {
                continue;
            }
            let session = &state.sessions[s];
            match session.step {
                Step::None => continue,
                Step::Idle => {
                    let ops = self.ops(state, s);
                    actions.extend(ops.into_iter().map(|op| Action::Begin(s, op)));
                }
                _ => {
                    actions.push(Action::Run(s));
                    if self.also.crashes {
                        actions.push(Action::RollBack(s));
                    }
                }
            }
            if self.also.crashes && !(session.held.is_empty() && session.stale.is_empty()) {
                actions.push(Action::Crash(s));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Begin(s, op) => {
                if !self.begin(&mut next, s, op) {
                    return None;
                }
            }
            Action::Run(s) => {
                if !self.run(&mut next, s) {
                    return None;
                }
            }
            Action::RollBack(s) => next.roll_back(s),
            Action::Crash(s) => next.crash(s),
        }
        if self.fault != Fault::TimeOfTheStart {
            for session in &mut next.sessions {
                session.younger = Set::NONE;
            }
        }
        if !self.also.late_outcomes {
            for session in &mut next.sessions {
                session.stale = Set::NONE;
            }
        }
        next.normalize();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(self)
    }
}

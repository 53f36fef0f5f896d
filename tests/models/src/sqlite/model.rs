//! What processes do, and what must hold.

use stateright::{Model, Property};

use super::state::{MOST_ROWS, Slot, State};
use super::transactions::Outcome;
use crate::set::Set;

/// What can be wrong with the algorithm: the controls of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The algorithm as it is.
    #[default]
    None,
    /// An outcome is written by token and `seq` alone.
    FenceWithoutId,
    /// A deletion leaves the `seq` in the claim.
    DeleteKeepsSeq,
    /// An event that goes back in line behind another one does not unblock that.
    RescueForgetsNext,
    /// A completion does not unblock the next event.
    SettleUnblocksNothing,
    /// An outcome of a part of a claim drops all of it.
    PartDropsAll,
    /// A claim takes what others have.
    TakesHeld,
    /// A dead letter that is retried goes to the front although a handler has the next event.
    ResetDisregardsHandler,
}

/// The size of the model, and what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite {
    /// Processes, each an application and a worker.
    pub processes: usize,
    /// Lanes.
    pub lanes: u8,
    /// Events that are enqueued in all. A `seq` is used again, so they may be more than there are
    /// rows at a time.
    pub events: u8,
    /// Whether another program replaces rows without a trigger.
    pub replaces: bool,
    /// The fault, or none.
    pub fault: Fault,
}

/// A transaction, or what happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Enqueues in this lane.
    Enqueue(u8),
    /// A process claims these rows, as far as they are ready.
    Claim(usize, Set),
    /// A process settles these of its leases.
    Settle(usize, Set, Outcome),
    /// A process renews this one of its leases.
    Extend(usize, usize),
    /// Somebody takes back what has run out.
    Rescue,
    /// Somebody deletes a row.
    Delete(usize),
    /// Somebody retries a dead letter.
    Reset(usize),
    /// Another program replaces a row.
    Replace(usize),
    /// The leases of a process run out.
    Expire(usize),
    /// A process dies. Its leases run out later.
    Crash(usize),
}

/// Never two of a lane are with handlers.
pub const ONE_OF_A_LANE: &str = "never two of a lane are with handlers";
/// An event is not with a handler before the earlier ones of its lane are done.
pub const ORDER: &str = "an event goes after the earlier ones of its lane";
/// An outcome is written to the event that was claimed, or not at all.
pub const STALE_WRITES_NOTHING: &str = "a stale outcome is written to no other event";
/// An event with the `seq` of a deleted one is with no handler.
pub const NEWCOMER_IS_FREE: &str = "an event with a used seq is with no handler";
/// A blocked event waits for one that is not.
pub const NO_LANE_SLEEPS: &str = "a lane with a blocked event has one that is not";
/// What a process believes to have under a lease that lasts, others leave alone.
pub const LEASES_LAST: &str = "a lease lasts until it runs out";
/// Workers that take what they find deliver everything.
pub const ALL_DELIVERED: &str = "workers that go on deliver everything";

impl Sqlite {
    /// The algorithm as it is, without other programs.
    #[must_use]
    pub const fn of(processes: usize, lanes: u8, events: u8) -> Self {
        Self {
            processes,
            lanes,
            events,
            replaces: false,
            fault: Fault::None,
        }
    }

    fn of_process(state: &State, process: usize, actions: &mut Vec<Action>) {
        let leases = &state.leases[process];
        let lost = leases.iter().any(|lease| !lease.is_listed);
        let ready = state.rows_in(|slot| slot == Slot::Ready);
        if !lost {
            actions.extend(ready.rows().map(|seq| Action::Claim(process, Set::of(seq))));
            if ready.len() > 1 {
                actions.push(Action::Claim(process, ready));
            }
        }
        for (place, lease) in leases.iter().enumerate() {
            let one = Set::of(place);
            actions.push(Action::Settle(process, one, Outcome::Complete));
            if lease.is_listed {
                actions.push(Action::Settle(process, one, Outcome::GiveBack));
                actions.push(Action::Settle(process, one, Outcome::Bury));
                actions.push(Action::Extend(process, place));
            }
        }
        if leases.len() > 1 {
            let all = (0..leases.len()).collect();
            actions.push(Action::Settle(process, all, Outcome::Complete));
            actions.push(Action::Settle(process, all, Outcome::GiveBack));
        }
        let listed = state.listed.iter().flatten();
        if listed
            .filter(|it| !it.is_over)
            .any(|it| usize::from(it.process) == process)
        {
            actions.push(Action::Expire(process));
        }
        if !leases.is_empty() {
            actions.push(Action::Crash(process));
        }
    }

    fn run(&self, state: &mut State, action: Action) {
        match action {
            Action::Enqueue(lane) => state.enqueue(lane),
            Action::Claim(process, seqs) => state.claim(process, seqs, self.fault),
            Action::Settle(process, places, outcome) => {
                state.settle(process, places, outcome, self.fault);
            }
            Action::Extend(process, place) => state.extend(process, place),
            Action::Rescue => state.rescue(self.fault),
            Action::Delete(seq) => state.delete(seq, self.fault),
            Action::Reset(seq) => state.reset(seq, self.fault),
            Action::Replace(seq) => state.replace(seq),
            Action::Expire(process) => {
                for listed in state.listed.iter_mut().flatten() {
                    listed.is_over |= usize::from(listed.process) == process;
                }
                for lease in &mut state.leases[process] {
                    lease.lasts = false;
                }
            }
            Action::Crash(process) => state.leases[process].clear(),
        }
    }

    /// All leases run out, and one worker rescues, claims and completes until nothing changes.
    fn delivers_all(&self, state: &State) -> bool {
        let mut state = state.clone();
        for leases in &mut state.leases {
            leases.clear();
        }
        for listed in state.listed.iter_mut().flatten() {
            listed.is_over = true;
        }
        for _ in 0..2 * MOST_ROWS {
            self.run(&mut state, Action::Rescue);
            self.run(&mut state, Action::Claim(0, Set(0xf)));
            let all = (0..state.leases[0].len()).collect();
            self.run(&mut state, Action::Settle(0, all, Outcome::Complete));
        }
        state.rows_in(Slot::is_open).is_empty()
    }
}

impl Model for Sqlite {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.processes)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.enqueued < self.events && state.next_seq().is_some() {
            actions.extend((0..self.lanes).map(Action::Enqueue));
        }
        for process in 0..self.processes {
            Self::of_process(state, process, actions);
        }
        if state.listed.iter().flatten().any(|listed| listed.is_over) {
            actions.push(Action::Rescue);
        }
        let there = state.rows_in(|slot| slot != Slot::Absent);
        actions.extend(there.rows().map(Action::Delete));
        let dead = state.rows_in(|slot| slot == Slot::Dead);
        actions.extend(dead.rows().map(Action::Reset));
        if self.replaces && state.enqueued < self.events {
            let open = state.rows_in(|slot| slot == Slot::Ready);
            actions.extend(open.rows().map(Action::Replace));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.run(&mut next, action);
        next.normalize();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OF_A_LANE, |model: &Self, state: &State| {
                let held = state.held();
                (0..model.lanes).all(|lane| state.lane(lane).both(held).len() <= 1)
            }),
            Property::always(ORDER, |_, state: &State| {
                let mut held = state.held().rows();
                held.all(|seq| state.rows[seq].before.is_empty())
            }),
            Property::always(STALE_WRITES_NOTHING, |_, state: &State| !state.is_wrong),
            Property::always(NEWCOMER_IS_FREE, |model: &Self, state: &State| {
                let is_it =
                    |seq: usize| state.listed[seq].is_some_and(|it| it.id == state.rows[seq].id);
                model.replaces || state.held().rows().all(is_it)
            }),
            Property::always(NO_LANE_SLEEPS, |model: &Self, state: &State| {
                (0..model.lanes).all(|lane| {
                    let mut open = state.lane(lane).rows().peekable();
                    open.peek().is_none() || open.any(|seq| state.rows[seq].slot != Slot::Blocked)
                })
            }),
            Property::always(LEASES_LAST, |_, state: &State| {
                let mut lasting = state.leases.iter().flatten().filter(|lease| lease.lasts);
                lasting.all(|lease| {
                    let row = state.rows[usize::from(lease.seq)];
                    lease.is_listed || row.id != lease.id || !row.slot.is_open()
                })
            }),
            Property::always(ALL_DELIVERED, |model: &Self, state: &State| {
                model.delivers_all(state)
            }),
            Property::sometimes(
                "a seq is used again while a lease on it is kept",
                |_, state: &State| {
                    let mut leases = state.leases.iter().flatten();
                    leases.any(|lease| {
                        let row = state.rows[usize::from(lease.seq)];
                        row.slot.is_open() && row.id != lease.id
                    })
                },
            ),
            Property::sometimes(
                "two events of one claim run out at different times",
                |_, state: &State| {
                    let of = |over| {
                        let listed = state.listed.iter().flatten();
                        let mut of: Vec<u8> = listed
                            .filter(|it| it.is_over == over)
                            .map(|it| it.process)
                            .collect();
                        of.dedup();
                        of
                    };
                    of(true).iter().any(|process| of(false).contains(process))
                },
            ),
            Property::sometimes(
                "a retried dead letter waits for a handler",
                |_, state: &State| {
                    let held = state.held();
                    held.rows().any(|seq| {
                        let lane = state.lane(state.rows[seq].lane);
                        lane.rows().next().is_some_and(|first| first < seq)
                    })
                },
            ),
        ]
    }
}

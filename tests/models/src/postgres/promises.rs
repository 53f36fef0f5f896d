//! What must hold in every state, and what must happen in some.

use stateright::Property;

use super::model::{Op, Postgres};
use super::server::Unique;
use super::state::{Session, Slot, State, Step};
use crate::set::Set;

/// Never two of a lane are leased, without followers.
pub const ONE_OF_A_LANE: &str = "never two of a lane are leased";
/// Never two workers have events of a lane.
pub const ONE_HOLDER: &str = "never two workers have events of a lane";
/// A lane with followers has a first leased event, or a note.
pub const FOLLOWERS_LED: &str = "followers are behind a leased event or a note";
/// An event is not leased before an earlier one of its lane that was committed when it was
/// enqueued.
pub const ORDER: &str = "an event goes after those committed before it was enqueued";
/// A blocked event always has somebody who will unblock it.
pub const NO_LANE_SLEEPS: &str = "a lane with a blocked event has one that is not, or a note";
/// Where no transaction is open, workers that take what they find deliver everything.
pub const ALL_DELIVERED: &str = "workers that go on deliver everything";
/// An event that was never delayed is not put off.
pub const NOT_PUT_OFF: &str = "an event that was never delayed is not due later";
/// As long as no process dies, every lease is known to a worker.
pub const LEASES_KNOWN: &str = "every lease is known to a worker";
/// Outcomes are recorded, whatever others do.
pub const OUTCOMES_RECORDED: &str = "no outcome is refused for a collision";

/// The promises, and the situations that must arise, so that the model is known to reach them.
pub(super) fn properties(model: &Postgres) -> Vec<Property<Postgres>> {
    let mut properties = always_and_sometimes();
    if model.also.follows {
        properties.push(Property::sometimes(
            "a follower holds the lane before one that went back",
            |_: &Postgres, state: &State| {
                let leased = state.committed(|slot| slot == Slot::Leased);
                let ready = state.committed(|slot| slot == Slot::Ready);
                leased.rows().any(|row| {
                    let lane = state.lane(state.rows[row].lane);
                    lane.both(ready).rows().any(|front| front < row)
                })
            },
        ));
        properties.push(Property::sometimes(
            "a note is before followers",
            |_: &Postgres, state: &State| {
                let notes = state.committed(|slot| slot == Slot::Note);
                let followers = state.committed(|slot| slot == Slot::Follower);
                let lane = |row: usize| state.lane(state.rows[row].lane);
                notes
                    .rows()
                    .any(|row| !lane(row).both(followers).is_empty())
            },
        ));
    }
    properties
}

fn always_and_sometimes() -> Vec<Property<Postgres>> {
    vec![
        Property::always(ONE_OF_A_LANE, |model: &Postgres, state: &State| {
            (0..model.lanes).all(|lane| leased_in(state, lane).len() <= 1)
        }),
        Property::always(ONE_HOLDER, |model: &Postgres, state: &State| {
            let leased = state.committed(Slot::is_leased);
            (0..model.lanes).all(|lane| {
                let leased = leased.both(state.lane(lane));
                let sessions = state.sessions.iter();
                let has_any = |it: &&Session| !it.held.both(leased).is_empty();
                sessions.filter(has_any).count() <= 1
            })
        }),
        Property::always(FOLLOWERS_LED, |model: &Postgres, state: &State| {
            let followers = state.committed(|slot| slot == Slot::Follower);
            let taken = state.committed(Slot::is_taken);
            (0..model.lanes).all(|lane| {
                let lane = state.lane(lane);
                lane.both(followers).is_empty() || !lane.both(taken).is_empty()
            })
        }),
        Property::always(ORDER, |_: &Postgres, state: &State| {
            let leased = state.committed(Slot::is_leased);
            let waiting = state.committed(Slot::is_waiting);
            leased
                .rows()
                .all(|row| state.rows[row].before.both(waiting).is_empty())
        }),
        Property::always(NO_LANE_SLEEPS, |model: &Postgres, state: &State| {
            (0..model.lanes).all(|lane| is_awake(state, lane))
        }),
        Property::always(ALL_DELIVERED, delivers_all),
        Property::always(NOT_PUT_OFF, |_: &Postgres, state: &State| {
            state.committed(|slot| slot == Slot::Later).is_empty()
        }),
        Property::always(LEASES_KNOWN, |model: &Postgres, state: &State| {
            let leased = state.committed(Slot::is_leased);
            let is_known = |row| state.sessions.iter().any(|session| session.held.has(row));
            model.also.crashes || leased.rows().all(is_known)
        }),
        Property::always(OUTCOMES_RECORDED, |_: &Postgres, state: &State| {
            let mut sessions = state.sessions.iter();
            sessions.all(|session| session.step != Step::OutcomeFailed)
        }),
        Property::sometimes("a note is left", |_: &Postgres, state: &State| {
            !state.committed(|slot| slot == Slot::Note).is_empty()
        }),
        Property::sometimes(
            "a claim waits at the unique index",
            |_: &Postgres, state: &State| meets(state, Unique::Wait),
        ),
        Property::sometimes("a claim collides", |_: &Postgres, state: &State| {
            meets(state, Unique::Collision)
        }),
        Property::sometimes(
            "a lease is lost to another worker",
            |_: &Postgres, state: &State| {
                let taken_over = |row: usize| state.sessions.iter().any(|it| it.held.has(row));
                let mut sessions = state.sessions.iter();
                sessions.any(|it| it.stale.rows().any(taken_over))
            },
        ),
        Property::sometimes(
            "a blocked event is locked while its front ends",
            |_: &Postgres, state: &State| {
                let sessions = &state.sessions;
                let is_blocked = |row: usize| state.rows[row].slot == Slot::Blocked;
                let locks = sessions.iter().any(|it| it.locked.rows().any(is_blocked));
                locks && sessions.iter().any(|it| it.step == Step::UnblockNext)
            },
        ),
        Property::sometimes(
            "a smaller seq is behind a greater one",
            |_: &Postgres, state: &State| {
                let leased = state.committed(|slot| slot == Slot::Leased);
                let blocked = state.committed(|slot| slot == Slot::Blocked);
                let before = |row: usize| move |other: &usize| *other < row;
                let lane = |row: usize| state.lane(state.rows[row].lane).both(blocked);
                leased
                    .rows()
                    .any(|row| lane(row).rows().any(|other| before(row)(&other)))
            },
        ),
        Property::sometimes("everything is delivered", |_: &Postgres, state: &State| {
            state.left == 0 && state.count == 0
        }),
    ]
}

fn leased_in(state: &State, lane: u8) -> Set {
    let leased = state.committed(|slot| slot == Slot::Leased);
    state.lane(lane).both(leased)
}

fn is_awake(state: &State, lane: u8) -> bool {
    let lane = state.lane(lane);
    let blocked = state.committed(|slot| slot == Slot::Blocked);
    let awake = state.committed(|slot| slot.is_front() || slot.is_taken());
    lane.both(blocked).is_empty() || !lane.both(awake).is_empty()
}

fn meets(state: &State, what: Unique) -> bool {
    let sessions = state.sessions.iter().enumerate();
    let mut leasing = sessions.filter(|(_, session)| session.step == Step::Lease);
    leasing.any(|(s, session)| session.todo.rows().any(|row| state.unique(s, row) == what))
}

/// From a state without an open transaction: leases that nobody settles run out and are rescued,
/// and one worker takes up notes, claims and completes, until nothing changes. Everything must be
/// done then. A state with open transactions becomes one without when they are rolled back.
fn delivers_all(model: &Postgres, state: &State) -> bool {
    let is_at_rest = |step| matches!(step, Step::Idle | Step::None);
    if !state
        .sessions
        .iter()
        .all(|session| is_at_rest(session.step))
    {
        return true;
    }
    let mut state = *state;
    for s in 0..state.sessions.len() {
        if state.sessions[s].step != Step::None {
            state.crash(s);
        }
    }
    let worker = 0;
    let mut rounds = 0;
    let is_open = |state: &State| !state.committed(|slot| !slot.is_out()).is_empty();
    while is_open(&state) {
        let before = state;
        let leased = state.committed(Slot::is_leased);
        do_all(model, &mut state, worker, Op::Rescue(leased));
        do_all(model, &mut state, worker, Op::TakeUpNotes);
        let all = state.numbers().collect();
        do_all(model, &mut state, worker, Op::Claim(all));
        let ids = state.sessions[worker].held;
        let done = Op::Settle {
            ids,
            gives_back: false,
            claims_too: false,
        };
        if !ids.is_empty() {
            do_all(model, &mut state, worker, done);
        }
        rounds += 1;
        if state == before || rounds > 20 {
            return false;
        }
    }
    true
}

/// Runs a transaction from its begin to its end, alone.
fn do_all(model: &Postgres, state: &mut State, s: usize, op: Op) {
    assert!(model.begin(state, s, op), "a session alone never waits");
    while state.sessions[s].step != Step::Idle {
        assert!(model.run(state, s), "a session alone never waits");
    }
}

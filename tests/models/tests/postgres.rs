//! What the PostgreSQL store promises about lanes holds in every state of the model.

use std::time::Duration;

use outbox_models::check::{holds, holds_for};
use outbox_models::postgres::model::{Also, Postgres};

/// The situation that only a late outcome leads to.
const LOST: &str = "a lease is lost to another worker";

fn without_late_outcomes(sessions: usize, lanes: u8, events: u8) -> Postgres {
    let mut model = Postgres::of(sessions, lanes, events);
    model.also.late_outcomes = false;
    model
}

#[test]
fn three_sessions_keep_a_lane_in_order_and_awake() {
    let visited = holds(without_late_outcomes(3, 1, 3), &[LOST]);
    assert!(visited.states > 1_000_000, "{visited:?}");
}

#[test]
fn two_lanes_in_one_transaction_stay_in_order_and_awake() {
    let visited = holds(without_late_outcomes(2, 2, 3), &[LOST]);
    assert!(visited.states > 200_000, "{visited:?}");
}

#[test]
fn four_events_of_a_lane_are_delivered_in_order() {
    let visited = holds(without_late_outcomes(2, 1, 4), &[LOST]);
    assert!(visited.states > 1_000_000, "{visited:?}");
}

#[test]
fn an_outcome_that_comes_after_its_lease_was_lost_harms_nothing() {
    let mut model = Postgres::of(2, 1, 3);
    // Both are checked above, and each doubles the states.
    model.also.exchanges = false;
    model.also.cancels = false;
    let visited = holds(model, &[]);
    assert!(visited.states > 500_000, "{visited:?}");
}

#[test]
fn workers_that_have_forgotten_lanes_keep_them_in_order_and_awake() {
    let mut model = Postgres::of(2, 1, 3);
    model.also.exchanges = false;
    model.also.cancels = false;
    model.also.forgotten_lanes = true;
    let visited = holds(model, &[]);
    assert!(visited.states > 500_000, "{visited:?}");
}

/// Workers that lease several events of a lane, applications that complete some of them, and
/// outcomes, rescues and deletions of each alone.
fn with_followers(sessions: usize, events: u8) -> Postgres {
    let mut model = without_late_outcomes(sessions, 1, events);
    model.also = Also {
        follows: true,
        completes: true,
        returns: true,
        deletes: true,
        ..Also::default()
    };
    model
}

#[test]
fn no_two_workers_share_a_lane_of_which_one_has_several_events() {
    let visited = holds(with_followers(3, 3), &[LOST]);
    assert!(visited.states > 10_000, "{visited:?}");
}

#[test]
fn lanes_with_followers_stay_in_order_and_awake_whatever_else_happens() {
    let mut model = with_followers(2, 3);
    model.also = Also {
        batches: true,
        edits: true,
        exchanges: true,
        crashes: true,
        ..model.also
    };
    let visited = holds(model, &[LOST]);
    assert!(visited.states > 10_000, "{visited:?}");
}

#[test]
fn an_outcome_that_comes_too_late_harms_no_followers() {
    let mut model = with_followers(2, 3);
    model.also.late_outcomes = true;
    // They are checked above, and each doubles the states.
    model.also.completes = false;
    model.also.deletes = false;
    model.also.returns = false;
    let visited = holds(model, &[]);
    assert!(visited.states > 10_000, "{visited:?}");
}

#[test]
fn every_lease_is_known_to_a_worker_as_long_as_none_dies() {
    let mut model = without_late_outcomes(3, 1, 3);
    model.also = Also {
        exchanges: true,
        returns: true,
        ..Also::default()
    };
    let visited = holds(model, &[LOST]);
    assert!(visited.states > 10_000, "{visited:?}");
}

/// The operations that no outbox does without, at the full size: fifty million states.
#[test]
#[ignore = "takes half an hour and 15 GiB"]
fn four_events_of_two_lanes_are_delivered_by_three_sessions_that_crash_and_give_back() {
    let mut model = Postgres::of(3, 2, 4);
    model.also = Also {
        returns: true,
        crashes: true,
        ..Also::default()
    };
    let visited = holds_for(model, Duration::from_secs(60 * 60));
    assert!(visited.states > 49_000_000, "{visited:?}");
}

/// The size that the others are parts of. It has hundreds of millions of states, some sixty bytes
/// each; `OUTBOX_MODEL_MINUTES` says how long to visit them.
#[test]
#[ignore = "takes a quarter of an hour"]
fn three_sessions_two_lanes_and_four_events_stay_in_order_and_awake() {
    let minutes = std::env::var("OUTBOX_MODEL_MINUTES");
    let minutes = minutes.map_or(15, |minutes| minutes.parse().unwrap());
    holds_for(Postgres::of(3, 2, 4), Duration::from_secs(60 * minutes));
}

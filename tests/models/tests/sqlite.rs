//! What the SQLite store promises about claims holds in every state of the model, and each fault
//! breaks a promise.

use outbox_models::check::{breaks, holds};
use outbox_models::sqlite::model::{
    Fault, LEASES_LAST, NEWCOMER_IS_FREE, NO_LANE_SLEEPS, ONE_OF_A_LANE, STALE_WRITES_NOTHING,
    Sqlite,
};

fn with(fault: Fault) -> Sqlite {
    Sqlite {
        fault,
        ..Sqlite::of(2, 1, 3)
    }
}

#[test]
fn claims_of_several_processes_keep_lanes_in_order_and_awake() {
    let visited = holds(Sqlite::of(2, 2, 3), &[]);
    assert!(visited.states > 50_000, "{visited:?}");
}

#[test]
fn a_third_process_changes_nothing() {
    let one_lane = "two events of one claim run out at different times";
    let visited = holds(Sqlite::of(3, 1, 4), &[one_lane]);
    assert!(visited.states > 10_000, "{visited:?}");
}

#[test]
fn a_row_that_another_program_replaced_is_completed_by_no_stale_outcome() {
    let mut model = Sqlite::of(2, 1, 3);
    model.replaces = true;
    let one_lane = "two events of one claim run out at different times";
    holds(model, &[one_lane]);
}

#[test]
fn without_the_id_a_stale_outcome_completes_another_event() {
    let mut model = with(Fault::FenceWithoutId);
    model.replaces = true;
    breaks(model, STALE_WRITES_NOTHING);
}

#[test]
fn a_deletion_that_leaves_the_seq_in_the_claim_holds_a_newcomer() {
    breaks(with(Fault::DeleteKeepsSeq), NEWCOMER_IS_FREE);
}

#[test]
fn a_rescue_that_forgets_the_next_event_lets_a_lane_sleep() {
    breaks(with(Fault::RescueForgetsNext), NO_LANE_SLEEPS);
}

#[test]
fn a_completion_that_unblocks_nothing_lets_a_lane_sleep() {
    breaks(with(Fault::SettleUnblocksNothing), NO_LANE_SLEEPS);
}

#[test]
fn an_outcome_that_drops_the_whole_claim_takes_leases_away() {
    let mut model = with(Fault::PartDropsAll);
    model.lanes = 2;
    breaks(model, LEASES_LAST);
}

#[test]
fn a_claim_that_takes_what_others_have_takes_leases_away() {
    breaks(with(Fault::TakesHeld), LEASES_LAST);
}

#[test]
fn a_retried_dead_letter_that_does_not_wait_puts_two_of_a_lane_with_handlers() {
    breaks(with(Fault::ResetDisregardsHandler), ONE_OF_A_LANE);
}

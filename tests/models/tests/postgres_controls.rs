//! Each fault that the algorithm could have, or had, breaks a promise of the model.

use outbox_models::check::breaks;
use outbox_models::postgres::faults::Fault;
use outbox_models::postgres::model::{Also, Postgres};
use outbox_models::postgres::promises::{
    ALL_DELIVERED, FOLLOWERS_LED, LEASES_KNOWN, NO_LANE_SLEEPS, NOT_PUT_OFF, ONE_HOLDER,
    ONE_OF_A_LANE, ORDER, OUTCOMES_RECORDED,
};

/// A model of one lane with this fault.
fn with(fault: Fault, also: Also) -> Postgres {
    Postgres {
        also,
        fault,
        ..Postgres::of(3, 1, 3)
    }
}

fn plain() -> Also {
    Also::default()
}

#[test]
fn unblocking_in_the_settling_statement_lets_a_lane_sleep() {
    breaks(with(Fault::OldSnapshot, plain()), NO_LANE_SLEEPS);
    breaks(with(Fault::OldSnapshot, plain()), ALL_DELIVERED);
}

#[test]
fn the_time_of_the_transactions_start_puts_a_new_event_off() {
    breaks(with(Fault::TimeOfTheStart, plain()), NOT_PUT_OFF);
}

#[test]
fn a_claim_that_drops_what_it_found_leaves_leases_that_nobody_knows() {
    let mut model = with(Fault::FoundIsDropped, plain());
    model.lanes = 2;
    breaks(model, LEASES_KNOWN);
}

#[test]
fn without_the_unique_index_two_of_a_lane_are_leased() {
    breaks(with(Fault::NoUniqueIndex, plain()), ONE_OF_A_LANE);
}

#[test]
fn a_claim_that_does_not_look_for_the_front_breaks_the_order() {
    breaks(with(Fault::NoFrontCheck, plain()), ORDER);
}

#[test]
fn a_demotion_that_does_not_lock_the_front_lets_a_lane_sleep() {
    breaks(with(Fault::FrontNotLocked, plain()), NO_LANE_SLEEPS);
}

#[test]
fn a_demotion_of_events_before_the_leased_one_breaks_the_order() {
    let also = Also {
        batches: true,
        returns: true,
        ..plain()
    };
    breaks(with(Fault::BlocksEarlier, also), ORDER);
}

#[test]
fn an_unblocking_that_leaves_no_note_lets_a_lane_sleep() {
    let also = Also {
        edits: true,
        ..plain()
    };
    breaks(with(Fault::NoNote, also), NO_LANE_SLEEPS);
}

#[test]
fn a_note_of_a_lost_lease_keeps_outcomes_from_being_recorded() {
    let also = Also {
        late_outcomes: true,
        ..plain()
    };
    breaks(with(Fault::StaleNote, also), OUTCOMES_RECORDED);
}

#[test]
fn a_deletion_that_skips_a_locked_event_lets_a_lane_sleep() {
    let also = Also {
        edits: true,
        deletes: true,
        ..plain()
    };
    breaks(with(Fault::UnblockSkips, also), NO_LANE_SLEEPS);
}

#[test]
fn a_deletion_that_looks_once_for_the_next_event_lets_a_lane_sleep() {
    let also = Also {
        batches: true,
        deletes: true,
        ..plain()
    };
    breaks(with(Fault::UnblockOnce, also), NO_LANE_SLEEPS);
}

#[test]
fn a_cancelled_create_that_unblocks_nothing_lets_a_lane_sleep() {
    let also = Also {
        cancels: true,
        ..plain()
    };
    breaks(with(Fault::CancelUnblocksNothing, also), NO_LANE_SLEEPS);
}

#[test]
fn a_cancelled_create_that_trusts_an_unlocked_note_lets_a_lane_sleep() {
    let also = Also {
        batches: true,
        cancels: true,
        ..plain()
    };
    breaks(with(Fault::CancelTrustsANote, also), NO_LANE_SLEEPS);
}

fn following() -> Also {
    Also {
        follows: true,
        ..plain()
    }
}

#[test]
fn a_worker_that_forgets_its_followers_shares_their_lane() {
    let model = with(Fault::ForgetsFollowers, following());
    breaks(model, FOLLOWERS_LED);
    breaks(model, ONE_HOLDER);
}

#[test]
fn an_event_that_goes_back_past_locked_followers_leaves_them_alone() {
    let also = Also {
        completes: true,
        returns: true,
        ..following()
    };
    breaks(with(Fault::FollowersSkipped, also), FOLLOWERS_LED);
}

#[test]
fn a_note_that_misses_followers_leaves_them_alone() {
    let also = Also {
        completes: true,
        ..following()
    };
    breaks(with(Fault::NoteMissesFollowers, also), FOLLOWERS_LED);
}

#[test]
fn a_deletion_that_misses_followers_leaves_them_alone() {
    let also = Also {
        deletes: true,
        ..following()
    };
    breaks(with(Fault::DeletionMissesFollowers, also), FOLLOWERS_LED);
}

#[test]
fn followers_of_an_event_that_is_not_locked_are_left_alone() {
    breaks(with(Fault::FollowsUnlocked, following()), FOLLOWERS_LED);
}

#[test]
fn followers_that_are_leased_past_an_earlier_event_break_the_order() {
    breaks(with(Fault::FollowsPastEarlier, following()), ORDER);
}

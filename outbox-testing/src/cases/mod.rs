//! The cases of the conformance suite: each a promise, named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};

use outbox_runtime::NewEvent;
use outbox_runtime::OutboxRepository;
use outbox_runtime::RawMetadata;
use outbox_runtime::store::{Claim, ClaimRequest};
use outbox_runtime::store::{Disposition, Settled, Settlement};
use outbox_runtime::{DeadReason, Operation, OutboxEvent};

mod asking;
mod claiming;
mod editing;
mod enqueueing;
mod exchanging;
mod folding;
mod ordering;
mod reordering;
mod rescuing;
mod selecting;
mod settling;
mod sharing;
mod suspending;
mod transitions;

pub use self::asking::{
    a_commit_is_noticed_by_who_waits_for_a_change, an_explanation_names_what_an_entity_waits_for,
    an_outcome_that_makes_an_event_claimable_is_noticed, listings_filter_by_status_user_and_limit,
    listings_show_events_in_every_state, listings_stop_at_their_limit,
    next_due_tells_the_earliest_due_time_or_lease_end,
    pending_deletes_are_those_the_service_was_not_told, stale_events_are_those_pending_for_long,
    statistics_count_every_status, the_event_types_are_those_of_what_waits_each_once,
    the_first_completion_is_told_as_long_as_it_is_kept,
};
pub use self::claiming::{
    a_claim_counts_the_attempt, a_claim_for_one_user_takes_nothing_of_another,
    a_claim_hands_out_the_event_as_it_is_stored, a_claim_is_exclusive,
    a_claim_leaves_other_event_types_alone,
    a_claim_takes_higher_priority_then_earlier_due_then_smaller_seq,
    a_claim_takes_only_the_first_event_of_each_entity, a_claim_takes_the_lease_of_each_event_type,
    a_delayed_event_is_claimed_when_it_is_due_and_not_before,
    entities_of_two_users_with_one_id_do_not_wait_for_each_other,
};
pub use self::editing::{
    a_failure_marked_by_hand_is_kept_and_due_by_the_schedule,
    a_lane_that_changed_since_it_was_seen_is_not_deleted_in_part,
    a_reset_leaves_what_is_neither_failed_nor_dead_alone,
    an_edit_changes_what_may_be_edited_and_nothing_else,
    an_edit_of_what_changed_since_it_was_read_is_refused,
    an_event_behind_another_cannot_be_marked_as_processing,
    clean_up_deletes_only_old_completed_events, deleting_by_entity_and_by_user_deletes_just_those,
    deleting_the_first_event_lets_the_next_one_go,
    events_of_one_user_become_those_of_another_in_order,
    events_with_a_handler_are_not_given_to_another_user,
    fewer_attempts_than_were_used_allow_one_more, marking_by_hand_goes_through_the_same_states,
    only_what_is_dead_is_discarded, only_what_is_due_and_in_nobodys_hands_is_marked_as_processing,
    what_changed_since_it_was_seen_is_not_deleted, what_was_completed_is_counted_beyond_clean_up,
};
pub use self::enqueueing::{
    an_enqueued_event_can_be_fetched, an_event_that_breaks_a_rule_is_refused,
    other_content_under_the_same_id_is_refused_and_the_first_kept,
    the_same_event_twice_is_written_once,
};
pub use self::exchanging::{
    an_exchange_answers_in_the_order_of_its_outcomes, an_exchange_claims_only_what_is_asked_for,
    an_exchange_settles_before_it_claims, an_exchange_without_outcomes_claims,
    outcomes_are_answered_in_their_order,
};
pub use self::folding::{
    a_create_and_its_delete_cancel_out, a_fold_takes_the_higher_priority_and_the_earlier_due_time,
    an_event_that_was_ever_claimed_is_never_folded_into, an_update_and_its_delete_become_a_delete,
    an_update_folds_into_what_nobody_has_claimed, enqueueing_again_what_was_folded_changes_nothing,
    events_to_two_destinations_are_both_delivered, nothing_folds_over_an_event_that_stands_between,
    only_an_event_that_coalesces_folds,
};
pub use self::ordering::{
    a_dead_event_that_is_skipped_lets_those_behind_it_go,
    a_skipped_event_that_is_retried_goes_before_those_that_wait,
    a_skipped_event_that_is_retried_never_runs_beside_another, an_edit_leaves_a_dead_event_dead,
    an_explanation_names_who_goes_first,
    events_ordered_by_user_go_one_after_the_other_whatever_their_entities,
    the_order_of_one_user_holds_up_no_other_user, unordered_events_neither_wait_nor_are_waited_for,
};
pub use self::reordering::{
    a_change_of_owner_keeps_the_older_events_first,
    after_a_change_of_order_the_older_events_of_an_entity_go_first,
    an_older_event_that_is_gone_lets_the_newer_one_go,
    an_older_event_that_was_skipped_and_is_retried_goes_before_the_newer_ones,
    nothing_folds_over_an_event_of_another_order, several_older_events_are_all_waited_for,
    types_of_different_orders_do_not_wait_for_each_other,
};
pub use self::rescuing::{
    a_clock_that_is_set_back_holds_up_nothing_that_was_due,
    a_clock_that_is_set_back_prolongs_no_lease,
    a_lease_that_is_renewed_after_the_clock_was_set_back_holds,
    a_rescue_buries_what_crashed_as_often_as_it_may,
    a_rescue_leaves_an_event_that_failed_before_a_failed_one, a_rescue_leaves_live_leases_alone,
    a_rescue_makes_events_of_the_dead_claimable_again, a_rescue_of_some_leases_leaves_the_others,
    a_reset_forgets_all_that_was_counted_against_an_event,
    a_reset_gives_a_dead_event_all_its_attempts, a_worker_that_rescues_keeps_what_it_holds,
    every_outcome_ends_a_row_of_crashes,
};
pub use self::selecting::{
    a_claim_for_the_least_recent_takes_what_was_never_attempted_first,
    a_claim_for_the_newest_takes_what_was_never_attempted_and_then_what_was_longest_ago,
    a_claim_takes_nothing_that_is_left_out, a_claim_takes_only_what_its_selectors_select,
    an_order_is_that_of_what_is_asked_for, as_many_selectors_as_there_are_can_be_left_out,
    selectors_count_where_outcomes_are_recorded_and_where_users_take_turns,
    the_next_due_time_is_that_of_what_is_asked_for, users_who_are_avoided_come_last,
};
pub use self::settling::{
    a_dead_event_holds_back_those_behind_it,
    a_deferral_is_counted_from_the_first_on_and_keeps_what_was_answered,
    a_delivery_is_recorded_and_lets_the_next_event_go, a_failure_is_due_again_at_its_time,
    a_given_back_event_has_its_attempt_back_and_keeps_its_place,
    a_lease_that_ended_is_its_holders_until_somebody_takes_it, a_lost_lease_cannot_be_extended,
    a_refusal_is_kept_until_the_next, a_snooze_is_counted_and_due_later,
    an_extended_lease_holds_longer, an_outcome_after_the_lease_ended_is_not_recorded,
    an_outcome_under_an_older_claim_is_not_recorded,
};
pub use self::sharing::{
    a_claim_brings_no_more_metadata_than_it_may, a_turn_takes_only_what_is_asked_for,
    an_edit_makes_metadata_no_larger_than_may_be_enqueued,
    as_many_users_as_there_are_can_be_left_out, places_that_turns_leave_are_filled_in_claim_order,
    turns_come_after_what_is_claimed_in_order, users_take_turns_whatever_their_backlogs,
};
pub use self::suspending::{
    a_store_tells_the_clock_that_due_times_and_leases_go_by,
    a_suspended_store_answers_nothing_until_it_is_resumed,
    resuming_a_store_that_is_not_suspended_changes_nothing,
};
pub use self::transitions::every_change_of_state_is_as_the_table_says_and_no_other_is_made;

type Store<'a> = &'a dyn OutboxRepository;

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// An event of user u1 about this entity.
fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

async fn create(store: Store<'_>, event: NewEvent) -> OutboxEvent {
    store.create_event(event).await.unwrap()
}

async fn claim(store: Store<'_>, limit: usize) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap()
}

/// Claims exactly one event.
async fn claim_one(store: Store<'_>) -> Claim {
    let mut claims = claim(store, 1).await;
    assert_eq!(claims.len(), 1, "one event should be claimable");
    claims.remove(0)
}

async fn settle(store: Store<'_>, claim: &Claim, disposition: Disposition) -> Settled {
    let lease = claim.lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap()[0]
}

async fn complete(store: Store<'_>, claim: &Claim) {
    let settled = settle(store, claim, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
}

/// The attempt is given back, and was answered nothing.
fn given_back(next_attempt_at: Option<DateTime<Utc>>) -> Disposition {
    Disposition::GiveBack {
        next_attempt_at,
        refusal: None,
    }
}

fn buried() -> Disposition {
    Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "no".to_owned(),
    }
}

async fn fetch(store: Store<'_>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

fn entities(claims: &[Claim]) -> Vec<i64> {
    claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer().unwrap())
        .collect()
}

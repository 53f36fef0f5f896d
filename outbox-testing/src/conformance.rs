//! The contract of [`OutboxRepository`] as tests for any store.

use std::future::Future;
use std::pin::Pin;

use crate::ManualClock;
use outbox_runtime::OutboxRepository;

/// Emits one `#[test]` for each promise of [`OutboxRepository`](outbox_runtime::OutboxRepository).
///
/// Takes an `async fn(ManualClock) -> (impl OutboxRepository, impl Sized)` that returns an empty
/// store on that clock, and a guard that must outlive it (such as a temporary folder, or `()`).
///
/// # Examples
///
/// ```
/// mod memory {
///     use outbox_runtime::MemoryStore;
///     use outbox_testing::ManualClock;
///
///     async fn make_store(clock: ManualClock) -> (MemoryStore, ()) {
///         (MemoryStore::with_clock(clock), ())
///     }
///
///     outbox_testing::conformance!(make_store);
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! conformance {
    // The names of the cases that a store fails, for tests of the suite itself.
    (failed_by $make_store:ident) => {
        $crate::conformance! { @list @failed_by $make_store }
    };
    // The names of all cases.
    (names) => {
        $crate::conformance! { @list @names () }
    };
    ($make_store:path) => {
        $crate::conformance! { @list @cases $make_store }
    };
    (@list @$then:ident $($make_store:tt)+) => {
        $crate::conformance! { @$then $($make_store)+:
            an_enqueued_event_can_be_fetched,
            the_same_event_twice_is_written_once,
            other_content_under_the_same_id_is_refused_and_the_first_kept,
            an_event_that_breaks_a_rule_is_refused,
            an_update_folds_into_what_nobody_has_claimed,
            a_create_and_its_delete_cancel_out,
            an_update_and_its_delete_become_a_delete,
            an_event_that_was_ever_claimed_is_never_folded_into,
            nothing_folds_over_an_event_that_stands_between,
            events_to_two_destinations_are_both_delivered,
            only_an_event_that_coalesces_folds,
            a_fold_takes_the_higher_priority_and_the_earlier_due_time,
            enqueueing_again_what_was_folded_changes_nothing,
            a_claim_takes_higher_priority_then_earlier_due_then_smaller_seq,
            a_claim_takes_only_the_first_event_of_each_entity,
            entities_of_two_users_with_one_id_do_not_wait_for_each_other,
            events_ordered_by_user_go_one_after_the_other_whatever_their_entities,
            the_order_of_one_user_holds_up_no_other_user,
            unordered_events_neither_wait_nor_are_waited_for,
            types_of_different_orders_do_not_wait_for_each_other,
            after_a_change_of_order_the_older_events_of_an_entity_go_first,
            several_older_events_are_all_waited_for,
            an_older_event_that_is_gone_lets_the_newer_one_go,
            an_older_event_that_was_skipped_and_is_retried_goes_before_the_newer_ones,
            nothing_folds_over_an_event_of_another_order,
            a_change_of_owner_keeps_the_older_events_first,
            a_claim_is_exclusive,
            a_claim_counts_the_attempt,
            a_claim_hands_out_the_event_as_it_is_stored,
            a_claim_takes_the_lease_of_each_event_type,
            a_claim_for_one_user_takes_nothing_of_another,
            a_claim_leaves_other_event_types_alone,
            users_take_turns_whatever_their_backlogs,
            turns_come_after_what_is_claimed_in_order,
            places_that_turns_leave_are_filled_in_claim_order,
            a_turn_takes_only_what_is_asked_for,
            as_many_users_as_there_are_can_be_left_out,
            a_claim_takes_only_what_its_selectors_select,
            a_claim_takes_nothing_that_is_left_out,
            as_many_selectors_as_there_are_can_be_left_out,
            the_next_due_time_is_that_of_what_is_asked_for,
            selectors_count_where_outcomes_are_recorded_and_where_users_take_turns,
            users_who_are_avoided_come_last,
            a_claim_for_the_newest_takes_what_was_never_attempted_and_then_what_was_longest_ago,
            a_claim_for_the_least_recent_takes_what_was_never_attempted_first,
            an_order_is_that_of_what_is_asked_for,
            a_claim_brings_no_more_metadata_than_it_may,
            an_edit_makes_metadata_no_larger_than_may_be_enqueued,
            a_delayed_event_is_claimed_when_it_is_due_and_not_before,
            a_delivery_is_recorded_and_lets_the_next_event_go,
            a_failure_is_due_again_at_its_time,
            a_dead_event_holds_back_those_behind_it,
            a_dead_event_that_is_skipped_lets_those_behind_it_go,
            a_skipped_event_that_is_retried_goes_before_those_that_wait,
            a_skipped_event_that_is_retried_never_runs_beside_another,
            a_given_back_event_has_its_attempt_back_and_keeps_its_place,
            a_refusal_is_kept_until_the_next,
            a_deferral_is_counted_from_the_first_on_and_keeps_what_was_answered,
            a_snooze_is_counted_and_due_later,
            an_outcome_after_the_lease_ended_is_not_recorded,
            an_outcome_under_an_older_claim_is_not_recorded,
            an_extended_lease_holds_longer,
            a_lost_lease_cannot_be_extended,
            a_lease_that_ended_is_its_holders_until_somebody_takes_it,
            a_clock_that_is_set_back_prolongs_no_lease,
            a_lease_that_is_renewed_after_the_clock_was_set_back_holds,
            a_clock_that_is_set_back_holds_up_nothing_that_was_due,
            a_rescue_makes_events_of_the_dead_claimable_again,
            a_rescue_leaves_an_event_that_failed_before_a_failed_one,
            a_rescue_buries_what_crashed_as_often_as_it_may,
            every_outcome_ends_a_row_of_crashes,
            a_rescue_leaves_live_leases_alone,
            a_reset_gives_a_dead_event_all_its_attempts,
            a_reset_forgets_all_that_was_counted_against_an_event,
            every_change_of_state_is_as_the_table_says_and_no_other_is_made,
            marking_by_hand_goes_through_the_same_states,
            an_event_behind_another_cannot_be_marked_as_processing,
            an_edit_changes_what_may_be_edited_and_nothing_else,
            only_what_is_dead_is_discarded,
            what_was_completed_is_counted_beyond_clean_up,
            events_of_one_user_become_those_of_another_in_order,
            events_with_a_handler_are_not_given_to_another_user,
            an_edit_leaves_a_dead_event_dead,
            deleting_the_first_event_lets_the_next_one_go,
            deleting_by_entity_and_by_user_deletes_just_those,
            clean_up_deletes_only_old_completed_events,
            what_changed_since_it_was_seen_is_not_deleted,
            a_lane_that_changed_since_it_was_seen_is_not_deleted_in_part,
            an_edit_of_what_changed_since_it_was_read_is_refused,
            fewer_attempts_than_were_used_allow_one_more,
            listings_filter_by_status_user_and_limit,
            pending_deletes_are_those_the_service_was_not_told,
            statistics_count_every_status,
            the_event_types_are_those_of_what_waits_each_once,
            stale_events_are_those_pending_for_long,
            next_due_tells_the_earliest_due_time_or_lease_end,
            an_explanation_names_what_an_entity_waits_for,
            an_explanation_names_who_goes_first,
            a_commit_is_noticed_by_who_waits_for_a_change,
            an_outcome_that_makes_an_event_claimable_is_noticed,
            a_worker_that_rescues_keeps_what_it_holds,
            a_rescue_of_some_leases_leaves_the_others,
            an_exchange_settles_before_it_claims,
            an_exchange_without_outcomes_claims,
            an_exchange_claims_only_what_is_asked_for,
            an_exchange_answers_in_the_order_of_its_outcomes,
            outcomes_are_answered_in_their_order,
            a_failure_marked_by_hand_is_kept_and_due_by_the_schedule,
            only_what_is_due_and_in_nobodys_hands_is_marked_as_processing,
            a_reset_leaves_what_is_neither_failed_nor_dead_alone,
            listings_show_events_in_every_state,
            listings_stop_at_their_limit,
            the_first_completion_is_told_as_long_as_it_is_kept,
            a_suspended_store_answers_nothing_until_it_is_resumed,
            resuming_a_store_that_is_not_suspended_changes_nothing,
            a_store_tells_the_clock_that_due_times_and_leases_go_by,
        }
    };
    // Public functions for the tests that this macro emits in other crates.
    (@export (): $($case:ident,)+) => {$(
        pub async fn $case(store: &dyn $crate::__runtime::OutboxRepository, clock: &$crate::ManualClock) {
            super::$case(store, clock).await;
        }
    )+};
    (@names (): $($case:ident,)+) => {
        [$(::std::stringify!($case)),+]
    };
    (@failed_by $make_store:ident: $($case:ident,)+) => {{
        let mut failed = ::std::vec::Vec::new();
        $(
            let holds = ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| {
                $crate::run_case($make_store, |store, clock| {
                    ::std::boxed::Box::pin($crate::cases::all::$case(store, clock))
                });
            }));
            if holds.is_err() {
                failed.push(::std::stringify!($case));
            }
        )+
        failed
    }};
    (@cases $make_store:path: $($case:ident,)+) => {$(
        #[test]
        fn $case() {
            $crate::run_case($make_store, |store, clock| {
                ::std::boxed::Box::pin($crate::cases::all::$case(store, clock))
            });
        }
    )+};
}

/// Runs one case on a new store, in its own tokio runtime.
///
/// # Panics
///
/// If the case fails.
#[doc(hidden)]
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub fn run_case<S, G, M, F, C>(make_store: M, case: C)
where
    S: OutboxRepository,
    M: FnOnce(ManualClock) -> F,
    F: Future<Output = (S, G)>,
    C: for<'a> FnOnce(
        &'a dyn OutboxRepository,
        &'a ManualClock,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(async {
        let clock = ManualClock::new();
        let (store, _guard) = make_store(clock.clone()).await;
        case(&store, &clock).await;
    });
}

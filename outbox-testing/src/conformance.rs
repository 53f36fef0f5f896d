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
            different_content_under_a_known_id_is_refused_and_the_first_is_kept,
            an_event_that_breaks_a_rule_is_refused,
            an_update_folds_into_an_unclaimed_event,
            a_create_and_its_delete_cancel_out,
            nothing_cancels_out_once_the_service_may_know_the_entity,
            an_update_and_its_delete_become_a_delete,
            nothing_folds_into_an_event_that_was_ever_claimed,
            nothing_folds_past_an_event_in_between,
            events_to_two_destinations_are_both_delivered,
            only_an_event_that_coalesces_folds,
            a_fold_takes_the_higher_priority_and_the_earlier_due_time,
            enqueueing_a_folded_event_again_changes_nothing,
            claims_are_ordered_by_priority_then_due_time_then_seq,
            a_claim_takes_only_the_first_event_of_each_entity,
            entities_of_two_users_with_the_same_id_do_not_wait_for_each_other,
            events_ordered_by_user_are_delivered_in_sequence_across_entities,
            the_order_of_one_user_blocks_no_other_user,
            unordered_events_neither_wait_nor_block,
            types_of_different_orders_do_not_wait_for_each_other,
            after_a_change_of_order_the_older_events_of_an_entity_go_first,
            an_event_waits_for_all_older_events,
            an_older_event_that_is_gone_unblocks_the_newer_one,
            a_retried_older_event_that_was_skipped_goes_before_the_newer_ones,
            nothing_folds_over_an_event_of_another_order,
            a_change_of_owner_keeps_the_older_events_first,
            a_claim_is_exclusive,
            a_claim_counts_the_attempt,
            a_claim_returns_the_event_as_stored,
            a_claim_takes_the_lease_of_each_event_type,
            a_claim_for_one_user_takes_nothing_of_another,
            a_claim_leaves_other_event_types_alone,
            users_take_turns_regardless_of_backlog,
            turns_come_after_the_events_claimed_in_order,
            places_left_by_turns_are_filled_in_claim_order,
            a_turn_takes_only_requested_events,
            any_number_of_users_can_be_excluded,
            a_claim_takes_only_selected_events,
            a_claim_takes_no_excluded_event,
            any_number_of_selectors_can_be_excluded,
            the_next_due_time_covers_only_requested_events,
            selectors_apply_to_exchanges_and_to_turns,
            avoided_users_come_last,
            a_claim_for_the_newest_takes_unattempted_events_then_the_least_recent,
            a_claim_for_the_least_recent_takes_unattempted_events_first,
            a_claim_order_applies_to_requested_events_only,
            a_claim_returns_no_more_metadata_than_the_limit,
            an_edit_keeps_the_size_limit_of_metadata,
            a_delayed_event_is_not_claimed_before_it_is_due,
            a_delivery_is_recorded_and_unblocks_the_next_event,
            a_failure_is_due_again_at_its_time,
            a_dead_event_blocks_the_events_behind_it,
            a_skipped_dead_event_unblocks_the_events_behind_it,
            a_retried_skipped_event_goes_before_waiting_events,
            a_retried_skipped_event_never_runs_beside_another,
            giving_an_event_back_returns_its_attempt_and_keeps_its_place,
            a_refusal_is_kept_until_the_next_one,
            deferrals_are_counted_and_keep_the_last_refusal,
            a_snooze_is_counted_and_due_later,
            an_outcome_after_the_lease_ended_is_not_recorded,
            an_outcome_under_an_older_claim_is_not_recorded,
            an_extended_lease_ends_later,
            a_lost_lease_cannot_be_extended,
            an_ended_lease_stays_with_its_holder_until_it_is_taken,
            an_event_completed_by_its_handler_stays_completed,
            a_completion_by_a_handler_unblocks_the_next_event,
            a_completion_under_a_lost_lease_writes_nothing,
            completing_an_event_again_changes_nothing,
            a_lease_is_renewed_until_its_handler_answers,
            an_event_is_completed_together_with_the_next,
            an_event_is_superseded_once_under_a_lease,
            an_event_that_is_completed_and_not_kept_is_counted,
            a_rescue_leaves_what_handlers_completed,
            setting_the_clock_back_prolongs_no_lease,
            a_lease_renewed_after_the_clock_was_set_back_is_valid,
            setting_the_clock_back_delays_no_due_event,
            a_rescue_makes_events_of_dead_workers_claimable_again,
            a_rescue_keeps_the_status_of_an_event_that_failed_before,
            a_rescue_buries_an_event_at_its_crash_limit,
            every_outcome_resets_the_crash_count,
            a_rescue_leaves_live_leases_alone,
            a_reset_gives_a_dead_event_all_its_attempts,
            a_reset_clears_all_counts_against_an_event,
            every_transition_of_the_table_is_made_and_no_other,
            manual_marks_go_through_the_same_states,
            an_event_behind_another_cannot_be_marked_as_processing,
            an_edit_changes_only_editable_fields,
            only_dead_events_are_discarded,
            completed_events_stay_counted_after_clean_up,
            reassigning_a_user_keeps_the_order_of_events,
            events_in_progress_are_not_reassigned,
            an_edit_leaves_a_dead_event_dead,
            a_refused_edit_leaves_the_event_claimable,
            deleting_the_first_event_unblocks_the_next,
            deleting_by_entity_or_user_deletes_nothing_else,
            clean_up_deletes_only_old_completed_events,
            a_removed_event_is_delivered_counted_and_forgotten,
            an_event_that_changed_since_it_was_seen_is_not_deleted,
            a_lane_that_changed_since_it_was_seen_is_not_partly_deleted,
            an_edit_of_an_outdated_revision_is_refused,
            lowering_the_attempt_limit_below_the_count_allows_one_more,
            listings_filter_by_status_user_and_limit,
            pending_deletes_are_the_undelivered_ones,
            statistics_count_every_status,
            event_types_lists_each_waiting_type_once,
            a_breakdown_counts_by_type_and_user,
            the_oldest_due_time_is_that_of_events_that_can_be_claimed,
            stale_events_are_the_long_pending_ones,
            next_due_returns_the_earliest_due_time_or_lease_end,
            an_explanation_names_the_cause_of_waiting,
            an_explanation_names_the_event_that_goes_first,
            a_commit_wakes_a_waiter_for_changes,
            an_outcome_that_makes_an_event_claimable_wakes_a_waiter,
            a_rescuing_worker_keeps_its_own_leases,
            a_rescue_limited_to_some_leases_leaves_the_others,
            an_exchange_settles_before_it_claims,
            an_exchange_without_outcomes_claims,
            an_exchange_claims_only_requested_events,
            an_exchange_returns_results_in_the_order_of_its_outcomes,
            settle_returns_results_in_the_order_of_its_outcomes,
            a_manually_marked_failure_is_recorded_and_due_by_the_schedule,
            only_due_unclaimed_events_can_be_marked_as_processing,
            a_reset_changes_only_failed_and_dead_events,
            listings_show_events_in_every_state,
            listings_stop_at_their_limit,
            pages_list_each_event_once_and_in_order,
            a_page_has_only_selected_events,
            a_page_ends_before_its_metadata_is_large,
            a_listing_by_pages_ends_although_events_arrive,
            the_oldest_completion_is_reported_while_it_is_kept,
            a_paused_event_is_not_claimed,
            pauses_add_up,
            a_pause_ends_by_itself_at_its_time,
            pauses_are_listed_with_who_when_and_why,
            an_invalid_pause_is_refused,
            a_change_of_pauses_wakes_a_waiter,
            an_event_with_a_handler_is_finished_during_a_pause,
            an_explanation_names_the_pause,
            an_announced_run_is_listed_until_it_is_withdrawn,
            a_process_is_listed_with_the_events_that_it_holds,
            attempts_that_were_not_delivered_are_kept_in_order,
            the_history_of_an_event_is_bounded,
            a_trace_context_stays_with_its_event,
            the_same_event_from_another_span_is_written_once,
            a_fold_takes_the_trace_context_of_the_newer_event,
            an_event_waits_until_its_parent_was_delivered,
            without_an_undelivered_creation_there_is_nothing_to_wait_for,
            a_creation_that_is_enqueued_later_is_not_waited_for,
            events_behind_a_waiting_one_wait_with_it,
            a_waiting_event_of_any_order_holds_its_lane_back,
            an_event_waits_for_all_of_its_parents,
            parents_may_wait_for_parents,
            a_dead_parent_holds_back_the_children_that_hold,
            a_parent_that_is_gone_frees_its_children,
            a_creation_that_replaces_one_of_its_entity_is_waited_for_in_its_place,
            a_replacing_creation_and_its_children_never_wait_in_a_circle,
            a_pause_of_a_parent_explains_its_child,
            an_event_that_expired_behind_a_dead_letter_is_explained_as_such,
            a_retried_parent_does_not_hold_a_freed_child_back_again,
            a_creation_that_cancels_out_frees_its_children,
            an_older_name_of_the_type_of_a_parent_counts,
            a_parent_of_any_order_is_waited_for,
            a_change_folds_into_one_with_the_same_parents,
            a_waiting_event_can_be_edited_canceled_and_deleted,
            a_waiting_event_is_due_when_it_is_free,
            a_crash_of_the_handler_of_a_parent_frees_nobody,
            parents_and_children_move_to_another_user_together,
            a_waiting_event_counts_as_pending,
            parents_that_no_row_can_hold_are_refused,
            the_id_of_a_child_can_be_enqueued_again,
            headers_stay_with_their_event,
            a_known_event_with_other_headers_is_refused,
            a_fold_takes_the_headers_of_the_newer_event,
            headers_that_break_a_rule_are_refused,
            an_event_replaces_the_unclaimed_one_with_its_key,
            a_kept_event_stays_and_the_new_one_is_not_enqueued,
            only_the_same_key_of_the_same_user_is_replaced,
            an_event_that_was_ever_claimed_is_not_replaced,
            a_replaced_event_frees_its_lane_and_the_new_one_joins_its_own,
            enqueueing_a_replaced_event_again_changes_nothing,
            an_explanation_names_the_key_of_an_event_that_may_be_replaced,
            an_event_with_a_key_takes_no_part_in_coalescing,
            a_key_moves_with_its_user,
            a_cancellation_deletes_what_was_never_claimed_and_tells_the_rest,
            a_cancellation_of_an_entity_covers_all_its_types,
            an_expiry_stays_with_its_event,
            an_event_is_due_when_it_expires_at_the_latest,
            an_expired_event_is_dead_and_frees_its_lane,
            a_dropped_event_is_gone_and_frees_its_lane,
            a_retried_event_that_had_expired_holds_its_lane_as_before,
            an_event_whose_expiry_is_moved_is_due_when_it_would_have_expired,
            nothing_is_put_off_beyond_the_expiry,
            a_retried_event_has_no_expiry_that_has_passed,
            an_event_that_expires_takes_no_part_in_coalescing,
            setting_the_clock_back_delays_no_event_that_expires,
            a_store_that_cannot_follow_leases_no_followers,
            followers_come_in_order_and_without_gaps,
            followers_share_the_lease_that_they_follow,
            an_event_that_goes_elsewhere_or_later_does_not_follow,
            an_event_that_is_held_back_does_not_follow,
            followers_end_at_the_limits_of_their_request,
            a_lease_that_is_lost_has_no_followers,
            a_delivered_lane_goes_on_behind_its_followers,
            a_failure_holds_back_what_follows,
            a_skipped_dead_letter_lets_its_followers_pass,
            followers_that_are_given_back_keep_their_place,
            a_lane_has_one_holder_until_its_last_event_is_settled,
            a_deleted_event_leaves_its_followers_leased,
            a_rescue_takes_followers_back_in_order,
            a_rescue_of_one_event_leaves_the_lane_to_its_holder,
            a_follower_counts_as_claimed,
            an_explanation_shows_a_follower_with_its_handler,
            a_suspended_store_refuses_every_call_until_resumed,
            resuming_a_store_that_is_not_suspended_changes_nothing,
            a_store_exposes_the_clock_of_its_due_times_and_leases,
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
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(async {
        let clock = ManualClock::new();
        let (store, _guard) = make_store(clock.clone()).await;
        case(&store, &clock).await;
    });
}

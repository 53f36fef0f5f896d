//! The macro that lists the cases, and what runs one.

use std::pin::Pin;

use outbox_runtime::OutboxRepository;

use super::driver::SinkUnderTest;

/// Emits one `#[test]` for each promise that a sink for the connections of a driver gives: an event
/// exists if and only if the caller's transaction commits, ids and keys keep their meaning, events
/// fold and are canceled, errors are typed, handlers complete their events, and a commit wakes the
/// processors of this process.
///
/// Takes an `async fn() -> (impl SinkUnderTest, impl OutboxRepository + Clone, impl Sized)` that
/// returns the driver, the store on its empty database, and a guard that must outlive both (such as
/// a temporary folder, or `()`). [`SinkUnderTest`](crate::SinkUnderTest) shows a whole driver.
///
/// Open a `SqliteStore` as `single_process`: it then looks for commits only where it was told to
/// expect one. A store that looks twice a second would pass for one that is told.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::store::BoxError;
/// # use outbox_testing::{SinkTransaction, SinkUnderTest};
/// use outbox_runtime::SqliteStore;
///
/// struct MyDriver; // implements `SinkUnderTest`
/// # #[async_trait::async_trait(?Send)]
/// # impl SinkUnderTest for MyDriver {
/// #     async fn begin<'t>(&'t mut self, _: bool) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
/// #         Err("it has no connection".into())
/// #     }
/// # }
///
/// async fn make() -> (MyDriver, SqliteStore, tempfile::TempDir) {
///     let folder = tempfile::tempdir().unwrap();
///     let store = SqliteStore::builder(folder.path().join("app.db")).single_process();
///     (MyDriver, store.open().await.unwrap(), folder)
/// }
///
/// mod my_driver {
///     outbox_testing::sink_conformance!(super::make);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! sink_conformance {
    ($make:path) => {
        $crate::sink_conformance! { @list @cases $make }
    };
    // The names of the cases that a driver fails, for tests of the suite itself.
    (failed_by $make:ident) => {
        $crate::sink_conformance! { @list @failed_by $make }
    };
    (@list @$then:ident $($make:tt)+) => {
        $crate::sink_conformance! { @$then $($make)+:
            a_committed_event_is_stored,
            a_rolled_back_event_is_not,
            a_committed_batch_is_stored_in_order,
            a_rolled_back_batch_is_not_stored,
            a_batch_with_a_refused_event_adds_none_and_keeps_the_transaction,
            an_event_of_a_kept_savepoint_is_stored,
            an_event_of_a_rolled_back_savepoint_is_not,
            the_same_event_twice_is_written_once,
            other_content_under_a_known_id_is_a_conflict_and_keeps_the_transaction,
            a_nul_in_json_is_kept,
            an_event_that_breaks_a_rule_is_refused_and_keeps_the_transaction,
            a_newer_event_folds_into_a_waiting_one,
            a_fold_of_a_rolled_back_transaction_is_undone,
            events_of_a_batch_fold,
            a_create_and_its_delete_cancel_out,
            an_event_replaces_the_waiting_one_with_its_key,
            an_event_with_a_key_that_waits_is_kept_if_the_newer_one_says_so,
            a_replacement_of_a_rolled_back_transaction_is_undone,
            events_are_canceled_if_and_only_if_the_transaction_commits,
            headers_are_stored_and_are_content,
            headers_of_a_newer_event_replace_those_it_folds_into,
            events_of_one_entity_are_claimed_in_order,
            an_event_waits_for_the_creation_of_its_parent,
            a_transaction_that_read_before_another_commit_writes_or_must_be_repeated,
            an_event_is_completed_if_and_only_if_the_transaction_commits,
            a_completion_under_a_lost_lease_is_refused_and_keeps_the_transaction,
            what_waits_for_a_completed_event_goes_on_with_the_commit,
            an_event_is_superseded_with_the_commit_or_neither_happens,
            a_handler_that_completes_its_event_is_tried_again_unless_the_transaction_commits,
            a_commit_is_told_to_a_store_of_this_process_that_sleeps,
            a_commit_wakes_the_processors_of_this_process,
        }
    };
    (@export (): $($case:ident,)+) => {$(
        pub async fn $case<S>(sink: &mut dyn $crate::SinkUnderTest, store: &S)
        where
            S: $crate::__runtime::OutboxRepository + ::std::clone::Clone,
        {
            super::$case(sink, store).await;
        }
    )+};
    (@failed_by $make:ident: $($case:ident,)+) => {{
        let mut failed = ::std::vec::Vec::new();
        $(
            let holds = ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| {
                $crate::run_sink_case($make, |sink, store| {
                    ::std::boxed::Box::pin($crate::sink_cases::all::$case(sink, store))
                });
            }));
            if holds.is_err() {
                failed.push(::std::stringify!($case));
            }
        )+
        failed
    }};
    (@cases $make:path: $($case:ident,)+) => {$(
        #[test]
        fn $case() {
            $crate::run_sink_case($make, |sink, store| {
                ::std::boxed::Box::pin($crate::sink_cases::all::$case(sink, store))
            });
        }
    )+};
}

/// Runs one case on a new database, in its own tokio runtime.
///
/// # Panics
///
/// If the case fails.
#[doc(hidden)]
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub fn run_sink_case<D, S, G, M, F, C>(make: M, case: C)
where
    D: SinkUnderTest,
    S: OutboxRepository + Clone,
    M: FnOnce() -> F,
    F: Future<Output = (D, S, G)>,
    C: for<'a> FnOnce(&'a mut dyn SinkUnderTest, &'a S) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(async {
        let (mut sink, store, _guard) = make().await;
        case(&mut sink, &store).await;
    });
}

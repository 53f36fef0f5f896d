//! Promises 3, 6, 7 and 8: each event is delivered at once to the right handler, and an idle
//! processor does nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, Disposition, Settlement, SqliteStoreBuilder};
use outbox_runtime::support::EntityOptions;
use outbox_runtime::{
    BuildError, Clock, Flushed, HandlerSet, MemoryStore, OutboxEventHandler, Processor,
    RawMetadata, WaitsFor, async_trait, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{
    Note, Remote, Task, Temporary, enqueue, foreign_insert, note, note_of, on_each_store, start,
    start_all_users, start_with, unknown, within,
};
use tokio::sync::{Barrier, mpsc};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn an_enqueued_event_is_delivered_once_with_its_metadata_and_key() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        assert_eq!(call.event.id, event.id);
        assert_eq!(
            call.event.metadata.as_ref().unwrap().as_str(),
            Some(r#"{"text":"note 1"}"#)
        );
        assert!(call.event.is_new_record());
        call.ok();
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::Delivered);
        assert!(remote.is_quiet());
        let statistics = running.statistics().await.unwrap();
        assert_eq!(
            (statistics.completed_count, statistics.total_events),
            (1, 1)
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn without_retention_an_event_is_deleted_with_its_outcome_and_still_counted() {
    on_each_store(|store, _| async move {
        let (mut remote, running) =
            start_with(&store, |builder| builder.keep_completed(Duration::ZERO));
        for id in [1, 1, 2] {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        for _ in 0..3 {
            remote.next().await.ok();
        }
        running.stop().await.unwrap();
        let statistics = store.statistics(Some("u1")).await.unwrap();
        assert_eq!(
            (statistics.total_events, statistics.completed_total),
            (0, 3)
        );
    });
}

#[tokio::test]
async fn a_commit_through_the_store_starts_the_handler_without_a_trigger() {
    let (temporary, clock) = on_a_stopped_clock(|builder| builder).await;
    let (mut remote, running) = start(&temporary.store);
    asleep(&clock).await;
    for id in 1..=20 {
        temporary
            .store
            .transaction(move |tx| Ok(note(id).enqueue_sync().on(tx)?))
            .await
            .unwrap();
        remote.next().await.ok();
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_of_another_store_on_the_same_file_is_noticed() {
    // `single_process` turns the file watch off: only the other store itself can wake the run.
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::single_process).await;
    let other = SqliteStore::builder(&temporary.path).single_process();
    let other = other.open().await.unwrap();
    let (mut remote, running) = start(&temporary.store);
    for id in 0..3 {
        note(id).enqueue_sync().on(&other).await.unwrap();
        remote.next().await.ok();
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_outcome_wakes_waiters_for_the_event_that_it_unblocks() {
    // `single_process` and a stopped clock turn the file watch off: only the outcome itself can
    // wake the waiter.
    let (temporary, _clock) = on_a_stopped_clock(SqliteStoreBuilder::single_process).await;
    let store = &temporary.store;
    for _ in 0..2 {
        note(1).enqueue_update().on(store).await.unwrap();
    }
    let again = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: None,
    };
    for disposition in [again, Disposition::Complete] {
        let request = ClaimRequest::new(1, Duration::from_secs(60));
        let claim = store.claim(&request).await.unwrap().remove(0);
        let seen = store.revision();
        let settlement = Settlement {
            lease: claim.lease,
            disposition,
        };
        store.settle(vec![settlement]).await.unwrap();
        assert_ne!(within(store.changed(seen)).await, seen);
    }
}

#[tokio::test]
async fn a_commit_on_the_callers_own_connection_is_noticed() {
    let (temporary, clock) = on_a_stopped_clock(SqliteStoreBuilder::single_process).await;
    let (mut remote, running) = start(&temporary.store);
    asleep(&clock).await;
    let mut conn = temporary.connect();
    let tx = conn.transaction().unwrap();
    note(1).enqueue_sync().on(&tx).unwrap();
    tx.commit().unwrap();
    remote.next().await.ok();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_of_another_process_is_noticed() {
    let (temporary, clock) = on_a_stopped_clock(|builder| builder).await;
    let (mut remote, running) = start(&temporary.store);
    asleep(&clock).await;
    // Written by plain SQL, as by another process: nothing in this process is notified.
    let event = note(1).enqueue_sync().into_event().unwrap();
    let (sql, values) = foreign_insert(&event);
    temporary.connect().execute(sql, values).unwrap();
    remote.next().await.ok();
    running.stop().await.unwrap();
}

/// A store with a stopped clock: an idle run sleeps until the next clean-up, which the test can
/// observe.
async fn on_a_stopped_clock(
    configure: impl FnOnce(SqliteStoreBuilder) -> SqliteStoreBuilder,
) -> (Temporary, ManualClock) {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| configure(builder).clock(clock.clone())).await;
    (temporary, clock)
}

/// Waits until a run has looked for work, found none, and waits for a change.
async fn asleep(clock: &ManualClock) {
    within(clock.until_asleep(clock.now() + Duration::from_secs(300))).await;
}

#[allow(
    clippy::disallowed_methods,
    reason = "the test observes an idle run; it waits for nothing"
)]
#[tokio::test]
async fn an_idle_processor_runs_no_query() {
    let (temporary, clock) = on_a_stopped_clock(SqliteStoreBuilder::count_statements).await;
    let (mut remote, running) = start_all_users(&temporary.store, |builder| builder);
    let statements = temporary.store.statements();
    asleep(&clock).await;
    // The run has announced itself. The store notices each commit to its file within half a second,
    // its own too, and the run looks once more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    asleep(&clock).await;
    let before = statements.get();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        statements.get() - before,
        0,
        "statements in ten idle seconds"
    );
    // The positive control: work is counted.
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    assert!(statements.get() > before, "statements are not counted");
    running.stop().await.unwrap();
}

#[test]
fn all_slots_are_kept_busy_and_no_more() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .batch_size(2)
            .max_concurrency(3)
            .build()
            .unwrap();
        for id in 0..10 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        let running = processor.start("u1");
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(remote.next().await);
        }
        let statistics = running.statistics().await.unwrap();
        assert_eq!(
            (statistics.processing_count, statistics.pending_count),
            (3, 7)
        );
        // As soon as one ends the next one starts, however long the others take.
        for _ in 3..10 {
            calls.pop().unwrap().ok();
            calls.push(remote.next().await);
            assert!(running.statistics().await.unwrap().processing_count <= 3);
        }
        calls.into_iter().for_each(outbox_tests::Call::ok);
        for id in 0..10 {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn a_run_for_one_user_sends_nothing_of_another() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap();
        enqueue(&store, note_of("u2", 1).priority_boost()).await;
        enqueue(&store, note_of("u1", 2).enqueue_sync()).await;
        let running = processor.start("u1");
        let call = remote.next().await;
        assert_eq!(call.event.user_id, "u1");
        call.ok();
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
        let left = store.fetch_pending_events(None, None).await.unwrap();
        assert_eq!(
            (left.len(), left[0].user_id.as_str(), left[0].attempt_count),
            (1, "u2", 0)
        );
        let running = processor.start_all_users();
        let call = remote.next().await;
        assert_eq!(call.event.user_id, "u2");
        call.ok();
        running.stop().await.unwrap();
    });
}

trait Boost {
    fn priority_boost(&self) -> outbox_runtime::Enqueue;
}

impl Boost for Note {
    fn priority_boost(&self) -> outbox_runtime::Enqueue {
        self.enqueue_sync().priority(100)
    }
}

#[test]
fn an_unknown_event_type_is_left_alone_and_explained() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::new();
        let parked = store
            .create_event(unknown(7).with_priority(100))
            .await
            .unwrap();
        enqueue(&store, note(1).enqueue_sync()).await;
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap();
        let running = processor.start("u1");
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        assert_eq!(store.fetch_event(parked.id).await.unwrap(), Some(parked));
        match running.flush(7, SOON).await.unwrap() {
            Flushed::Blocked(explanation) => assert_eq!(
                explanation.waits_for,
                WaitsFor::Registration {
                    event_type: "mood.created".to_owned()
                }
            ),
            other => panic!("{other:?}"),
        }
        running.stop().await.unwrap();
    });
}

/// A relay that handles every type starting with `mood.`, without naming them in advance.
struct Relay(mpsc::UnboundedSender<OutboxEvent>);

#[async_trait]
impl OutboxEventHandler for Relay {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type.starts_with("mood.")
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.0.send(event.clone()).or_permanent()
    }
}

#[test]
fn an_untyped_handler_gets_only_what_it_handles_and_the_rest_loses_no_attempt() {
    on_each_store(|store, _| async move {
        let (sender, mut relayed) = mpsc::unbounded_channel();
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handler(Relay(sender))
            .handlers(handlers)
            .build()
            .unwrap();
        let other = outbox_runtime::NewEvent::new("goal.created", 8, "u1", Operation::Create);
        let other = store.create_event(other).await.unwrap();
        let mood = store.create_event(unknown(7)).await.unwrap();
        enqueue(&store, note(1).enqueue_sync()).await;
        let running = processor.start("u1");
        remote.next().await.ok();
        assert_eq!(within(relayed.recv()).await.unwrap().id, mood.id);
        assert!(running.flush(7, SOON).await.unwrap().is_delivered());
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        assert!(matches!(
            running.flush(8, SOON).await.unwrap(),
            Flushed::Blocked(_)
        ));
        running.stop().await.unwrap();
        let other = store.fetch_event(other.id).await.unwrap().unwrap();
        assert_eq!(
            (other.status, other.attempt_count),
            (OutboxStatus::Pending, 0)
        );
    });
}

#[tokio::test]
async fn two_handlers_for_one_event_type_are_refused() {
    let builder = || Processor::builder(MemoryStore::new());
    let (_, handlers) = Remote::new();
    let twice = builder()
        .handlers(handlers)
        .handle::<Note>(|_| async { Ok(()) })
        .build();
    assert!(
        matches!(&twice, Err(BuildError::DuplicateHandler { event_type }) if event_type == "note"),
        "{twice:?}"
    );
    let set = HandlerSet::new()
        .with::<Task>(|_| async { Ok(()) })
        .with::<Task>(|_| async { Ok(()) });
    let twice = builder().handlers(set).build();
    assert!(matches!(twice, Err(BuildError::DuplicateHandler { .. })));
}

#[tokio::test]
async fn contradictory_settings_are_refused_by_name() {
    let builder = || Processor::builder(MemoryStore::new()).handle::<Note>(|_| async { Ok(()) });
    let message = |result: Result<Processor, BuildError>| result.unwrap_err().to_string();
    assert!(message(Processor::builder(MemoryStore::new()).build()).contains("no handler"));
    assert!(message(builder().batch_size(0).build()).contains("batch_size is 0"));
    assert!(message(builder().max_concurrency(0).build()).contains("max_concurrency is 0"));
    let text = message(builder().timeout(SOON).lease(SOON).build());
    assert!(
        text.contains("timeout (30s) is not shorter than the lease (30s)"),
        "{text}"
    );
}

/// An entity with its own timeout and lease.
struct Timed<const TIMEOUT: u64, const LEASE: u64>;

/// Zero means default.
const fn timed(timeout: u64, lease: u64) -> EntityOptions {
    let mut options = EntityOptions::new("timed");
    if timeout > 0 {
        options = options.with_timeout(Duration::from_secs(timeout));
    }
    if lease > 0 {
        options = options.with_lease(Duration::from_secs(lease));
    }
    options
}

impl<const TIMEOUT: u64, const LEASE: u64> OutboxEntity for Timed<TIMEOUT, LEASE> {
    type Metadata = ();

    const EVENT_TYPE: &'static str = "timed";
    const OPTIONS: EntityOptions = timed(TIMEOUT, LEASE);

    fn entity_id(&self) -> EntityId {
        1.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&())
    }
}

#[tokio::test]
async fn a_timeout_not_shorter_than_its_lease_is_refused_for_each_entity() {
    fn build<const TIMEOUT: u64, const LEASE: u64>() -> Result<Processor, BuildError> {
        Processor::builder(MemoryStore::new())
            .handle::<Timed<TIMEOUT, LEASE>>(|_| async { Ok(()) })
            .timeout(Duration::from_secs(30))
            .lease(Duration::from_secs(60))
            .build()
    }
    for (built, message) in [
        (
            build::<60, 0>(),
            "the timeout of \"timed\" (60s) is not shorter than the lease (60s)",
        ),
        (
            build::<90, 90>(),
            "the timeout of \"timed\" (90s) is not shorter than the lease of \"timed\" (90s)",
        ),
        (
            build::<0, 20>(),
            "the processor's timeout (30s) is not shorter than the lease of \"timed\" (20s)",
        ),
    ] {
        let text = built.unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }
    for built in [
        build::<0, 0>(),
        build::<90, 91>(),
        build::<19, 20>(),
        build::<59, 0>(),
    ] {
        built.unwrap();
    }
}

#[test]
fn without_a_runtime_building_fails_instead_of_panicking() {
    let built = Processor::builder(MemoryStore::new())
        .handle::<Note>(|_| async { Ok(()) })
        .build();
    assert!(matches!(built, Err(BuildError::NoRuntime)));
}

#[test]
fn a_handler_may_enqueue_and_use_the_store() {
    on_each_store(|store, _| async move {
        let inner = store.clone();
        let (done, mut delivered) = mpsc::unbounded_channel();
        let processor = Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                let (store, done) = (inner.clone(), done.clone());
                async move {
                    if event.is_new_record() {
                        // For the same entity, so it comes after the current event.
                        enqueue(&store, note(1).enqueue_update()).await;
                    }
                    done.send(event.operation).or_permanent()
                }
            })
            .build()
            .unwrap();
        let running = processor.start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        assert_eq!(within(delivered.recv()).await, Some(Operation::Create));
        assert_eq!(within(delivered.recv()).await, Some(Operation::Update));
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn a_trigger_and_a_flush_of_nothing_do_no_harm() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        for _ in 0..100 {
            running.trigger();
        }
        let flushed = running.flush(1, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::NothingThere);
        enqueue(&store, note(1).enqueue_sync()).await;
        running.trigger();
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        assert!(remote.is_quiet(), "a trigger delivers nothing twice");
        running.stop().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_producers_and_two_processors_deliver_everything_exactly_once() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let (done, mut delivered) = mpsc::unbounded_channel();
    let processor = || {
        let done = done.clone();
        Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                let done = done.clone();
                async move {
                    done.send((event.entity_id.as_integer(), event.seq))
                        .or_retry()
                }
            })
            .max_concurrency(8)
            .build()
            .unwrap()
            .start_all_users()
    };
    let (first, second) = (processor(), processor());
    let barrier = Arc::new(Barrier::new(64));
    for producer in 0..64 {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            for change in 0..10 {
                note(producer * 3 + change % 3)
                    .enqueue_update()
                    .on(&store)
                    .await
                    .unwrap();
            }
        });
    }
    let mut last = std::collections::HashMap::new();
    for _ in 0..640 {
        let (entity, seq) = within(delivered.recv()).await.unwrap();
        let before = last.insert(entity, seq);
        assert!(
            before < Some(seq),
            "entity {entity:?}: {seq} after {before:?}"
        );
    }
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert!(delivered.try_recv().is_err(), "no event is delivered twice");
    assert_eq!(store.statistics(None).await.unwrap().completed_count, 640);
}

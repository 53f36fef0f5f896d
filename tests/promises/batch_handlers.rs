//! Batch handlers: several events in one call, each with an outcome of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{ClaimRequest, CompleteFuture, Completion, OutboxQueue as _};
use outbox_runtime::{
    Batch, Batching, BuildError, Clock, CompleteError, CompletionSink, DeadReason, HandlerSet,
    Pause, Processor, ProcessorBuilder, RetryPolicy, SignOut, WaitsFor, enqueue_all, prelude::*,
};
use outbox_tests::{Note, enqueue, note, note_of, on_each_store, within};
use tokio::sync::{mpsc, oneshot};

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(30);

/// A remote service that takes several notes in one call, answered by the test.
struct Service {
    calls: mpsc::UnboundedReceiver<BatchCall>,
}

/// One call, waiting for its answer.
struct BatchCall {
    batch: Arc<Batch<Event<Note>>>,
    answer: oneshot::Sender<Result<(), HandlerError>>,
}

impl Service {
    fn new(batching: Batching) -> (Self, HandlerSet) {
        let (sender, calls) = mpsc::unbounded_channel();
        let set = HandlerSet::new().with_batch::<Note>(batching, move |batch| {
            let sender = sender.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let batch = Arc::new(batch);
                let _ = sender.send(BatchCall { batch, answer });
                answered
                    .await
                    .unwrap_or_else(|_| Err(HandlerError::offline()))
            }
        });
        (Self { calls }, set)
    }

    async fn next(&mut self) -> BatchCall {
        within(self.calls.recv())
            .await
            .expect("the processor is running")
    }

    fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl BatchCall {
    fn ids(&self) -> Vec<i64> {
        let events = self.batch.iter();
        events
            .map(|event| event.entity_id.as_integer().unwrap())
            .collect()
    }

    fn answer(self, answer: Result<(), HandlerError>) {
        let _ = self.answer.send(answer);
    }
}

fn start(
    store: &Arc<dyn OutboxRepository>,
    batching: Batching,
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Service, Running) {
    let (service, handlers) = Service::new(batching);
    let builder = Processor::builder(Arc::clone(store))
        .retry(RetryPolicy::default().without_jitter())
        .handlers(handlers);
    let running = configure(builder).build().unwrap().start("u1");
    (service, running)
}

async fn enqueue_notes(store: &Arc<dyn OutboxRepository>, ids: std::ops::Range<i64>) {
    for id in ids {
        enqueue(store, note(id).enqueue_sync()).await;
    }
}

async fn of_entity(store: &Arc<dyn OutboxRepository>, id: i64) -> OutboxEvent {
    let mut events = store
        .fetch_events_for_entity(&id.into(), None, None)
        .await
        .unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

async fn delivered(running: &Running, ids: impl IntoIterator<Item = i64>) {
    for id in ids {
        let flushed = within(running.flush(id, SOON)).await.unwrap();
        assert!(flushed.is_delivered(), "{id}: {flushed:?}");
    }
}

/// Waits until so many notes are delivered, without a flush, which sends every batch at once.
async fn completed(store: &Arc<dyn OutboxRepository>, count: u64) {
    let are_completed = async {
        while store.statistics(None).await.unwrap().completed_count < count {
            tokio::task::yield_now().await;
        }
    };
    within(are_completed).await;
}

/// Waits until the run explains that a note waits for others of its batch.
async fn gathered(running: &Running, id: i64, until: DateTime<Utc>) {
    let is_gathered = async {
        while running.explain(id).await.unwrap().waits_for != (WaitsFor::Batch { until }) {
            tokio::task::yield_now().await;
        }
    };
    within(is_gathered).await;
}

#[test]
fn a_batch_takes_what_is_due_up_to_its_size() {
    on_each_store(|store, _| async move {
        enqueue_notes(&store, 0..25).await;
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let mut seen = BTreeSet::new();
        for size in [10, 10, 5] {
            let call = service.next().await;
            assert_eq!(call.batch.len(), size);
            for event in call.batch.iter() {
                assert_eq!(event.status, OutboxStatus::Processing);
                assert_eq!(event.attempt_count, 1);
                assert_eq!(event.metadata().text, format!("note {}", event.entity_id));
            }
            seen.extend(call.ids());
            call.answer(Ok(()));
        }
        assert_eq!(seen, (0..25).collect());
        delivered(&running, 0..25).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_waits_for_more_and_no_longer_than_it_may() {
    on_each_store(|store, clock| async move {
        let batching = Batching::of(3).within(2 * SECOND);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let until = clock.now() + 2 * SECOND;
        enqueue_notes(&store, 1..2).await;
        gathered(&running, 1, until).await;
        clock.advance(SECOND);
        enqueue_notes(&store, 2..3).await;
        gathered(&running, 2, until).await;
        assert!(service.is_quiet());
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [1, 2]);
        call.answer(Ok(()));
        completed(&store, 2).await;
        // One that is full does not wait.
        enqueue_notes(&store, 3..6).await;
        let call = service.next().await;
        assert_eq!(call.ids(), [3, 4, 5]);
        call.answer(Ok(()));
        completed(&store, 5).await;
        // Nor does one that is wanted now, as by a flush.
        enqueue_notes(&store, 6..7).await;
        gathered(&running, 6, clock.now() + 2 * SECOND).await;
        running.trigger();
        service.next().await.answer(Ok(()));
        completed(&store, 6).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_has_at_most_one_event_of_a_lane() {
    on_each_store(|store, _| async move {
        for id in [1, 1, 2, 1] {
            enqueue(&store, note(id).enqueue_update()).await;
        }
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        for ids in [&[1, 2][..], &[1], &[1]] {
            let call = service.next().await;
            assert_eq!(call.ids(), ids);
            assert!(service.is_quiet());
            call.answer(Ok(()));
        }
        delivered(&running, [1, 2]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_has_one_user_and_one_destination() {
    on_each_store(|store, _| async move {
        for (user, destination) in [("a", "eu"), ("b", "eu"), ("a", "us"), ("a", "eu")] {
            let id = i64::try_from(store.statistics(None).await.unwrap().total_events).unwrap();
            let change = note_of(user, id).enqueue_sync().destination(destination);
            enqueue(&store, change).await;
        }
        let (mut service, handlers) = Service::new(Batching::of(10));
        let processor = Processor::builder(Arc::clone(&store)).handlers(handlers);
        let running = processor.build().unwrap().start_all_users();
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let call = service.next().await;
            let event = &call.batch[0];
            let (user, destination) = (event.user_id.clone(), event.destination.clone());
            for event in call.batch.iter() {
                assert_eq!((&event.user_id, &event.destination), (&user, &destination));
            }
            seen.insert(call.ids());
            call.answer(Ok(()));
        }
        assert_eq!(seen, BTreeSet::from([vec![0, 3], vec![1], vec![2]]));
        delivered(&running, 0..4).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_is_bounded_by_the_bytes_of_its_metadata() {
    on_each_store(|store, _| async move {
        for id in 0..12 {
            let mut large = note(id);
            large.text = "x".repeat(if id == 7 { 5_000 } else { 300 });
            enqueue(&store, large.enqueue_sync()).await;
        }
        let batching = Batching::of(100).up_to_bytes(1_000);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let mut seen = Vec::new();
        while seen.len() < 12 {
            let call = service.next().await;
            let total: usize = call.batch.iter().map(|event| bytes_of(event)).sum();
            assert!(
                total <= 1_000 || call.ids() == [7],
                "{total} {:?}",
                call.ids()
            );
            seen.extend(call.ids());
            call.answer(Ok(()));
        }
        delivered(&running, 0..12).await;
        running.stop().await.unwrap();
    });
}

fn bytes_of(event: &OutboxEvent) -> usize {
    event.metadata.as_ref().unwrap().len()
}

#[test]
fn each_event_of_a_batch_has_an_answer_of_its_own() {
    on_each_store(|store, clock| async move {
        enqueue_notes(&store, 0..4).await;
        // A row that a newer version of the app wrote.
        let newer = outbox_runtime::NewEvent::new("note", 4, "u1", Operation::Update);
        store.create_event(newer).await.unwrap();
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let call = service.next().await;
        assert_eq!(
            call.ids(),
            [0, 1, 2, 3],
            "what cannot be decoded is left out"
        );
        call.batch.ok(0);
        call.batch.fail(1, HandlerError::permanent("HTTP 422"));
        call.batch.fail(2, HandlerError::retry("HTTP 500"));
        call.batch.fail(3, HandlerError::snooze(5 * SECOND));
        call.batch.ok(17);
        call.answer(Ok(()));
        delivered(&running, [0]).await;
        let due = clock.now() + SECOND;
        within(clock.until_asleep(due)).await;
        let rejected = of_entity(&store, 1).await;
        assert_eq!(rejected.dead_reason, Some(DeadReason::Rejected));
        assert_eq!(rejected.error_message.as_deref(), Some("HTTP 422"));
        let failed = of_entity(&store, 2).await;
        assert_eq!(
            (failed.status, failed.attempt_count),
            (OutboxStatus::Failed, 1)
        );
        assert_eq!(failed.error_message.as_deref(), Some("HTTP 500"));
        let snoozed = of_entity(&store, 3).await;
        assert_eq!((snoozed.snoozes, snoozed.attempt_count), (1, 0));
        let undecodable = of_entity(&store, 4).await;
        assert_eq!(undecodable.dead_reason, Some(DeadReason::Undecodable));
        clock.set(due);
        let call = service.next().await;
        assert_eq!(call.ids(), [2]);
        call.answer(Ok(()));
        delivered(&running, [2]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_without_an_answer_among_others_with_one_is_not_delivered() {
    on_each_store(|store, clock| async move {
        enqueue_notes(&store, 0..3).await;
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let call = service.next().await;
        call.batch.ok(0);
        call.batch.ok(2);
        call.answer(Ok(()));
        delivered(&running, [0, 2]).await;
        let due = clock.now() + SECOND;
        within(clock.until_asleep(due)).await;
        let failed = of_entity(&store, 1).await;
        assert_eq!(
            (failed.status, failed.attempt_count),
            (OutboxStatus::Failed, 1)
        );
        assert!(failed.error_message.unwrap().contains("not for this event"));
        clock.set(due);
        service.next().await.answer(Ok(()));
        delivered(&running, [1]).await;
        running.stop().await.unwrap();
    });
}

/// The calls that a service with one poisoned note makes necessary: until it was sent alone, and
/// in all.
struct Calls {
    found_after: usize,
    total: usize,
}

/// Answers calls until every other note is delivered.
async fn with_poison(
    service: &mut Service,
    store: &Arc<dyn OutboxRepository>,
    poison: i64,
    count: u64,
    error: impl Fn() -> HandlerError,
) -> Calls {
    let mut calls = Calls {
        found_after: 0,
        total: 0,
    };
    let mut sent = 0;
    while sent < count - 1 || calls.found_after == 0 {
        let call = service.next().await;
        calls.total += 1;
        let ids = call.ids();
        if !ids.contains(&poison) {
            sent += ids.len() as u64;
            call.answer(Ok(()));
        } else {
            if ids.len() == 1 {
                calls.found_after = calls.total;
            }
            call.answer(Err(error()));
        }
    }
    let is_done = async {
        while store.statistics(None).await.unwrap().completed_count < count - 1 {
            tokio::task::yield_now().await;
        }
    };
    within(is_done).await;
    calls
}

#[test]
fn a_poisoned_event_among_a_thousand_is_found_within_12_calls_and_the_others_pass_within_22() {
    for poison in [0, 1, 333, 500, 998, 999] {
        on_each_store(|store, _| async move {
            let notes: Vec<Note> = (0..1_000).map(note).collect();
            for note in &notes {
                store
                    .create_event(note.enqueue_sync().into_event().unwrap())
                    .await
                    .unwrap();
            }
            let batching = Batching::of(1_000);
            let (mut service, running) =
                start(&store, batching, |builder| builder.batch_size(1_000));
            let rejected = || HandlerError::permanent("HTTP 422");
            let calls = with_poison(&mut service, &store, poison, 1_000, rejected).await;
            assert!(calls.found_after <= 12, "{poison}: {}", calls.found_after);
            assert!(calls.total <= 22, "{poison}: {}", calls.total);
            let flushed = within(running.flush(poison, SOON)).await.unwrap();
            assert!(!flushed.is_delivered());
            let dead = of_entity(&store, poison).await;
            assert_eq!(dead.dead_reason, Some(DeadReason::Rejected));
            assert_eq!(dead.attempt_count, 1);
            let other = of_entity(&store, (poison + 1) % 1_000).await;
            assert_eq!(other.attempt_count, 1, "all calls are one attempt");
            running.stop().await.unwrap();
        });
    }
}

#[test]
fn an_outage_refuses_a_batch_once_and_charges_none_of_its_events() {
    for error in [
        || HandlerError::unavailable("HTTP 503"),
        || HandlerError::retry("HTTP 500"),
        HandlerError::offline,
    ] {
        on_each_store(|store, clock| async move {
            enqueue_notes(&store, 0..100).await;
            let (mut service, running) = start(&store, Batching::of(50), |builder| {
                builder.max_concurrency(1)
            });
            let end = clock.now() + 600 * SECOND;
            let mut calls = 0;
            while clock.now() < end {
                tokio::select! {
                    biased;
                    call = service.next() => {
                        calls += 1;
                        let size = call.batch.len();
                        assert!(size == 1 || calls == 1, "the service is probed with one event");
                        call.answer(Err(error()));
                    }
                    () = until_idle(&clock) => {
                        let next = clock.next_deadline().unwrap_or(end);
                        clock.set(next.min(end));
                    }
                }
            }
            assert!(calls <= 25, "{calls} calls in ten minutes");
            assert_eq!(store.statistics(None).await.unwrap().dead_count, 0);
            for event in store
                .fetch_events(OutboxStatus::Pending, None, None)
                .await
                .unwrap()
            {
                assert_eq!(event.attempt_count, 0);
            }
            let mut sizes = Vec::new();
            let mut left = 100;
            while left > 0 {
                tokio::select! {
                    biased;
                    call = service.next() => {
                        left -= call.batch.len();
                        sizes.push(call.batch.len());
                        call.answer(Ok(()));
                    }
                    () = until_idle(&clock) => {
                        if let Some(next) = clock.next_deadline() {
                            clock.set(next);
                        }
                    }
                }
            }
            assert!(sizes.len() <= 6, "{sizes:?}");
            delivered(&running, 0..100).await;
            running.stop().await.unwrap();
        });
    }
}

/// Until the run sleeps.
async fn until_idle(clock: &outbox_testing::ManualClock) {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    if let Some(next) = clock.next_deadline() {
        clock.until_asleep(next).await;
    }
}

/// A poisoned event makes the service answer 500 for its whole batch. With another event that gets
/// through, the halves are tried; the poisoned event alone is charged.
#[test]
fn a_batch_that_fails_while_others_pass_is_tried_in_halves() {
    on_each_store(|store, clock| async move {
        enqueue_notes(&store, 0..65).await;
        let (mut service, running) = start(&store, Batching::of(64), |builder| {
            builder.max_concurrency(1)
        });
        let poison = 20;
        let failing = || HandlerError::retry("HTTP 500");
        let calls = with_poison(&mut service, &store, poison, 65, failing).await;
        assert!(calls.total <= 2 * 6 + 4, "{}", calls.total);
        let due = clock.now() + SECOND;
        within(clock.until_asleep(due)).await;
        let failed = of_entity(&store, poison).await;
        assert_eq!(
            (failed.status, failed.attempt_count),
            (OutboxStatus::Failed, 1)
        );
        assert_eq!(failed.error_message.as_deref(), Some("HTTP 500"));
        clock.set(due);
        let call = service.next().await;
        assert_eq!(call.ids(), [poison]);
        call.answer(Ok(()));
        delivered(&running, 0..65).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn answers_of_single_events_stand_if_the_handler_times_out_or_panics() {
    on_each_store(|store, clock| async move {
        enqueue_notes(&store, 0..2).await;
        let handlers = HandlerSet::new().with_batch::<Note>(Batching::of(10), |batch| async move {
            if batch.len() == 2 {
                batch.ok(0);
                std::future::pending::<()>().await;
            }
            Ok(())
        });
        let running = Processor::builder(Arc::clone(&store))
            .handlers(handlers)
            .timeout(5 * SECOND)
            .build()
            .unwrap()
            .start("u1");
        let deadline = clock.now() + 5 * SECOND;
        within(clock.until_asleep(deadline)).await;
        clock.set(deadline);
        delivered(&running, [0]).await;
        let advance = async {
            while !running
                .flush(1, Duration::ZERO)
                .await
                .unwrap()
                .is_delivered()
            {
                until_idle(&clock).await;
                if let Some(next) = clock.next_deadline() {
                    clock.set(next);
                }
            }
        };
        within(advance).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_stop_gives_back_what_waits_for_its_batch() {
    on_each_store(|store, clock| async move {
        let batching = Batching::of(10).within(5 * SECOND);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let until = clock.now() + 5 * SECOND;
        enqueue_notes(&store, 0..2).await;
        within(clock.until_asleep(until)).await;
        running.stop().await.unwrap();
        assert!(service.is_quiet());
        let pending = store
            .fetch_events(OutboxStatus::Pending, None, None)
            .await
            .unwrap();
        assert_eq!(pending.len(), 2);
        assert!(pending.iter().all(|event| event.attempt_count == 0));
    });
}

#[test]
fn a_search_for_the_poisoned_event_ends_with_a_stop() {
    on_each_store(|store, _| async move {
        enqueue_notes(&store, 0..8).await;
        let (mut service, running) = start(&store, Batching::of(8), |builder| builder);
        service
            .next()
            .await
            .answer(Err(HandlerError::permanent("HTTP 422")));
        let half = service.next().await;
        assert_eq!(half.ids(), [0, 1, 2, 3]);
        let stopping = tokio::spawn(running.stop());
        half.answer(Err(HandlerError::permanent("HTTP 422")));
        within(stopping).await.unwrap().unwrap();
        let pending = store
            .fetch_events(OutboxStatus::Pending, None, None)
            .await
            .unwrap();
        assert_eq!(pending.len(), 8);
        assert!(pending.iter().all(|event| event.attempt_count == 0));
    });
}

#[test]
fn a_sign_out_aborts_the_batch_of_its_user() {
    on_each_store(|store, _| async move {
        enqueue_notes(&store, 0..3).await;
        let (mut service, running) = start(&store, Batching::of(3), |builder| builder);
        let mut call = service.next().await;
        let deadline = Duration::ZERO;
        let _ = within(running.sign_out("u1", SignOut::Drain { deadline })).await;
        within(call.answer.closed()).await;
        let pending = store
            .fetch_events(OutboxStatus::Pending, None, None)
            .await
            .unwrap();
        assert_eq!(pending.len(), 3);
        running.stop().await.unwrap();
    });
}

/// Answers that take long leave the service in doubt, and with it the batches that are ready.
#[test]
fn a_ready_batch_of_a_service_in_doubt_goes_back_and_takes_no_place_until_then() {
    on_each_store(|store, clock| async move {
        let batching = Batching::of(2).within(2 * SECOND);
        let (mut service, handlers) = Service::new(batching);
        let (sender, mut diaries) = mpsc::unbounded_channel();
        let running = Processor::builder(Arc::clone(&store))
            .max_concurrency(6)
            .timeout(40 * SECOND)
            .handlers(handlers)
            .handle::<Diary>(move |_| {
                let sender = sender.clone();
                async move {
                    let _ = sender.send(());
                    std::future::pending().await
                }
            })
            .build()
            .unwrap()
            .start_all_users();
        let began = clock.now();
        for user in 0..6 {
            if user == 2 {
                clock.set(began + SECOND);
            }
            let change = note_of(&format!("u{user}"), user).enqueue_sync();
            enqueue(&store, change).await;
            let until = clock.now() + 2 * SECOND;
            gathered(&running, user, until).await;
        }
        clock.set(began + 2 * SECOND);
        let (first, hangs) = (service.next().await, service.next().await);
        let refused = first.ids()[0];
        first.answer(Err(HandlerError::unavailable("HTTP 503")));
        let is_in_doubt = async {
            loop {
                let explained = running.explain(refused).await.unwrap();
                if matches!(explained.waits_for, WaitsFor::Evidence { .. }) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within(is_in_doubt).await;
        // The others are ready. One of them looks for evidence.
        clock.set(began + 3 * SECOND);
        let looks = service.next().await;
        for id in 0..2 {
            let diary = Diary {
                id,
                user_id: "writer".to_owned(),
                text: String::new(),
            };
            enqueue(&store, diary.enqueue_create()).await;
        }
        for _ in 0..2 {
            within(diaries.recv()).await.unwrap();
        }
        clock.set(began + 5 * SECOND);
        // Another one joins it, and the two that are left may not.
        let joins = service.next().await;
        let are_back = async {
            loop {
                let events = store.fetch_events(OutboxStatus::Pending, None, None);
                let events = events.await.unwrap();
                if events.len() == 2 {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        for event in within(are_back).await {
            assert_eq!(event.attempt_count, 0);
        }
        drop((hangs, looks, joins));
        let hurry = std::future::ready(());
        within(running.stop_unless(hurry)).await.unwrap();
    });
}

/// An hour of every day of two years, as a fitness app backfills it.
#[test]
fn seventeen_thousand_events_take_a_call_per_hundred() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = MemoryStore::new();
        let notes: Vec<Note> = (0..17_520).map(note).collect();
        for chunk in notes.chunks(1_000) {
            enqueue_all(chunk).on(&store).await.unwrap();
        }
        let calls = Arc::new(Mutex::new(Vec::new()));
        let counted = Arc::clone(&calls);
        let batching = Batching::of(100).within(2 * SECOND);
        let running = Processor::builder(store.clone())
            .handle_batch::<Note>(batching, move |batch| {
                counted.lock().unwrap().push(batch.len());
                async { Ok(()) }
            })
            .build()
            .unwrap()
            .start("u1");
        let is_done = async {
            while store.statistics(None).await.unwrap().completed_count < 17_520 {
                tokio::task::yield_now().await;
            }
        };
        within(is_done).await;
        running.stop().await.unwrap();
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 176);
        assert_eq!(calls.iter().sum::<usize>(), 17_520);
    });
}

#[tokio::test]
async fn impossible_bounds_are_refused_before_anything_runs() {
    for batching in [
        Batching::of(0),
        Batching::of(Batching::MOST_EVENTS + 1),
        Batching::of(2).up_to_bytes(0),
        Batching::of(2).within(Batching::LONGEST_WAIT + SECOND),
    ] {
        let built = Processor::builder(MemoryStore::new())
            .handle_batch::<Note>(batching, |_| async { Ok(()) })
            .build();
        match built {
            Err(BuildError::Batching { event_type, fault }) => {
                assert_eq!(event_type, "note");
                assert!(fault.starts_with("a batch"), "{fault}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[derive(OutboxEntity)]
#[outbox(event_type = "diary")]
struct Diary {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata, sensitive)]
    text: String,
}

#[test]
fn a_refused_batch_shows_no_sensitive_value_of_any_of_its_events() {
    on_each_store(|store, _| async move {
        for id in 0..3 {
            let diary = Diary {
                id,
                user_id: "u1".to_owned(),
                text: format!("CANARY-{id}"),
            };
            enqueue(&store, diary.enqueue_create()).await;
        }
        let batching = Batching::of(3);
        let running = Processor::builder(Arc::clone(&store))
            .handle_batch::<Diary>(batching, |batch| async move {
                let texts = batch.iter().map(|event| event.metadata().text.clone());
                let texts: Vec<String> = texts.collect();
                Err(HandlerError::permanent(format!("refused: {texts:?}")))
            })
            .build()
            .unwrap()
            .start("u1");
        for id in 0..3 {
            assert!(
                !within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
            let message = of_entity(&store, id).await.error_message.unwrap();
            assert!(message.starts_with("refused"), "{message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_whose_process_died_is_a_batch_of_its_own() {
    on_each_store(|store, clock| async move {
        enqueue_notes(&store, 1..4).await;
        // The process that claims the first event dies with it.
        let claims = store.claim(&ClaimRequest::new(1, SECOND)).await.unwrap();
        assert_eq!(claims[0].event.entity_id, 1.into());
        clock.advance(2 * SECOND);
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let mut calls = Vec::new();
        for _ in 0..2 {
            let call = service.next().await;
            calls.push(call.ids());
            call.answer(Ok(()));
        }
        calls.sort();
        assert_eq!(calls, [vec![1], vec![2, 3]]);
        delivered(&running, 1..4).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn what_a_handler_completed_is_not_sent_again_in_a_half() {
    on_each_store(|store, _| async move {
        enqueue_notes(&store, 1..5).await;
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let call = service.next().await;
        assert_eq!(call.ids(), [1, 2, 3, 4]);
        call.batch[0].complete_on(Any(&store)).await.unwrap();
        call.answer(Err(HandlerError::permanent("one of them is refused")));
        let mut again = BTreeSet::new();
        while again.len() < 3 {
            let call = service.next().await;
            again.extend(call.ids());
            call.answer(Ok(()));
        }
        assert_eq!(again, [2, 3, 4].into());
        delivered(&running, 1..5).await;
        assert_eq!(of_entity(&store, 1).await.status, OutboxStatus::Completed);
        assert!(service.is_quiet());
        running.stop().await.unwrap();
    });
}

/// Any store as a sink, through the open traits.
struct Any<'s>(&'s Arc<dyn OutboxRepository>);

/// The marker of this test's sink.
enum AnyStore {}

impl CompletionSink<AnyStore> for Any<'_> {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let store = Arc::clone(self.0);
        CompleteFuture::new(async move { store.complete_event(completion?, None).await.map(drop) })
    }
}

#[test]
fn a_pause_reaches_a_batch_that_waits() {
    on_each_store(|store, clock| async move {
        let wait = SECOND * 60;
        let (mut service, running) = start(&store, Batching::of(100).within(wait), |it| it);
        let until = clock.now() + wait;
        enqueue_notes(&store, 1..3).await;
        let elsewhere = note(3).enqueue_sync().destination("eu");
        enqueue(&store, elsewhere).await;
        for id in 1..=3 {
            gathered(&running, id, until).await;
        }
        let pause = Pause::destination("eu").because("maintenance");
        store.pause(&pause).await.unwrap();
        let is_paused = async {
            while !matches!(
                running.explain(3).await.unwrap().waits_for,
                WaitsFor::Pause(_)
            ) {
                tokio::task::yield_now().await;
            }
        };
        within(is_paused).await;
        let given_back = of_entity(&store, 3).await;
        assert_eq!(
            (given_back.status, given_back.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        // The others wait as before, and are sent.
        gathered(&running, 1, until).await;
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [1, 2]);
        call.answer(Ok(()));
        completed(&store, 2).await;
        assert!(service.is_quiet());
        assert!(store.unpause(pause.scope()).await.unwrap());
        let until = clock.now() + wait;
        gathered(&running, 3, until).await;
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [3]);
        call.answer(Ok(()));
        completed(&store, 3).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_pause_that_begins_when_a_batch_is_due_reaches_it() {
    on_each_store(|store, clock| async move {
        let wait = SECOND * 60;
        let (mut service, running) = start(&store, Batching::of(100).within(wait), |it| it);
        let until = clock.now() + wait;
        enqueue_notes(&store, 1..2).await;
        gathered(&running, 1, until).await;
        store.pause(&Pause::everything()).await.unwrap();
        clock.set(until);
        let is_paused = async {
            while !matches!(
                running.explain(1).await.unwrap().waits_for,
                WaitsFor::Pause(_)
            ) {
                tokio::task::yield_now().await;
            }
        };
        within(is_paused).await;
        assert!(service.is_quiet());
        running.stop().await.unwrap();
        assert_eq!(of_entity(&store, 1).await.attempt_count, 0);
    });
}

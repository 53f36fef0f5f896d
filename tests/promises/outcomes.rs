//! The outcome table: the effect of each answer on its event and on others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outbox_runtime::{
    Clock, DeadReason, Delivery, DeliveryError, NewEvent, Processor, ProcessorBuilder, RawMetadata,
    RefusalClass, RunOutcome, WaitsFor, prelude::*,
};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{
    Broken, Flaw, Note, Remote, Task, enqueue, note, note_of, on_each_store, within,
};
use tokio::sync::{mpsc, oneshot};

const SOON: Duration = Duration::from_secs(30);

fn processor(store: &Arc<dyn OutboxRepository>) -> (Remote, ProcessorBuilder) {
    let (remote, handlers) = Remote::new();
    (remote, Processor::builder(store.clone()).handlers(handlers))
}

async fn stored(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

#[test]
fn obsolete_counts_as_delivered() {
    on_each_store(|store, _| async move {
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start("u1");
        let event = enqueue(&store, note(1).enqueue_delete()).await;
        remote.next().await.fail(HandlerError::obsolete());
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        let event = stored(&store, &event).await;
        assert_eq!(
            (event.status, event.error_message),
            (OutboxStatus::Completed, None)
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn permanent_is_a_dead_letter_at_once() {
    on_each_store(|store, _| async move {
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start("u1");
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        remote
            .next()
            .await
            .fail(HandlerError::permanent("HTTP 400: valence"));
        assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
        let event = stored(&store, &event).await;
        assert_eq!(event.status, OutboxStatus::Dead);
        assert_eq!(event.dead_reason, Some(DeadReason::Rejected));
        assert_eq!(event.error_message.as_deref(), Some("HTTP 400: valence"));
        assert_eq!(event.attempt_count, 1);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_panic_is_a_counted_failure_and_the_processor_goes_on() {
    on_each_store(|store, _| async move {
        let processor = Processor::builder(store.clone())
            .handle::<Note>(|event| async move {
                match event.metadata().text.as_str() {
                    "note 1" => panic!("at the {}", "disco"),
                    "note 2" => std::panic::panic_any(7_u8),
                    _ => Ok(()),
                }
            })
            .max_concurrency(1)
            .build()
            .unwrap();
        let first = enqueue(&store, note(1).enqueue_sync()).await;
        let second = enqueue(&store, note(2).enqueue_sync()).await;
        enqueue(&store, note(3).enqueue_sync()).await;
        let running = processor.start("u1");
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        for (event, message) in [
            (first, "at the disco"),
            (second, "(a panic without a message)"),
        ] {
            let event = stored(&store, &event).await;
            assert_eq!(
                (event.status, event.attempt_count),
                (OutboxStatus::Failed, 1)
            );
            assert_eq!(
                event.error_message,
                Some(format!("the handler panicked: {message}"))
            );
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn snooze_gives_the_attempt_back_and_comes_again_later() {
    on_each_store(|store, clock| async move {
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start("u1");
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let due = clock.now() + Duration::from_secs(7);
        remote
            .next()
            .await
            .fail(HandlerError::snooze(Duration::from_secs(7)));
        within(clock.until_asleep(due)).await;
        let snoozed = stored(&store, &event).await;
        assert_eq!(
            (snoozed.status, snoozed.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        clock.set(due);
        let call = remote.next().await;
        assert_eq!(call.event.attempt_count, 1);
        call.ok();
        running.stop().await.unwrap();
    });
}

#[test]
fn offline_pauses_the_run_costs_no_attempt_and_probes_with_growing_delay() {
    on_each_store(|store, clock| async move {
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start_all_users();
        let first = enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::offline());
        let mut begun = clock.now();
        within(clock.until_asleep(begun + Duration::from_secs(1))).await;
        for id in 2..20 {
            enqueue(&store, note_of("u2", id).enqueue_sync()).await;
        }
        // Many wait, and one is the probe; each failed probe doubles the delay, up to a minute.
        for delay in [1, 2, 4, 8, 16, 32, 60, 60] {
            let probe_at = begun + Duration::from_secs(delay);
            within(clock.until_asleep(probe_at)).await;
            let explanation = running.explain(1).await.unwrap();
            let WaitsFor::Outage(outage) = explanation.waits_for else {
                panic!("{explanation}");
            };
            assert_eq!(outage.probe_at, probe_at);
            assert_eq!(outage.class, RefusalClass::Offline);
            assert!(remote.is_quiet());
            clock.set(probe_at);
            begun = clock.now();
            let probe = remote.next().await;
            assert_eq!(probe.event.attempt_count, 1, "no attempt is used up");
            assert!(remote.is_quiet());
            probe.fail(HandlerError::offline());
        }
        // Told that the network is back, the run sends at once.
        let given_back = begun + Duration::from_secs(60);
        within(clock.until_asleep(given_back)).await;
        assert_eq!(stored(&store, &first).await.attempt_count, 0);
        running.online();
        for _ in 1..20 {
            remote.next().await.ok();
        }
        assert!(running.flush(19, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn a_probe_that_succeeds_ends_the_pause() {
    on_each_store(|store, clock| async move {
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start("u1");
        for id in 1..=3 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        // All three were in flight when the network went down.
        let calls = [
            remote.next().await,
            remote.next().await,
            remote.next().await,
        ];
        calls
            .into_iter()
            .for_each(|call| call.fail(HandlerError::offline()));
        let probe_at = clock.now() + Duration::from_secs(1);
        within(clock.until_asleep(probe_at)).await;
        clock.set(probe_at);
        // The first one comes alone, and each success doubles the number.
        remote.next().await.ok();
        let second = remote.next().await;
        assert!(remote.is_quiet());
        second.ok();
        remote.next().await.ok();
        running.stop().await.unwrap();
    });
}

/// A refresh hook that the test answers.
type Refreshes = mpsc::UnboundedReceiver<(String, oneshot::Sender<bool>)>;

fn with_refresh(builder: ProcessorBuilder) -> (Refreshes, ProcessorBuilder) {
    let (sender, refreshes) = mpsc::unbounded_channel();
    let builder = builder.on_unauthenticated(move |user| {
        let sender = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            sender.send((user, answer))?;
            if answered.await? {
                Ok(())
            } else {
                Err("refused".into())
            }
        }
    });
    (refreshes, builder)
}

#[test]
fn refused_credentials_pause_their_user_alone_until_one_refresh_succeeds() {
    on_each_store(|store, _| async move {
        let (mut remote, builder) = processor(&store);
        let (mut refreshes, builder) = with_refresh(builder);
        let running = builder
            .max_concurrency(4)
            .build()
            .unwrap()
            .start_all_users();
        for id in 1..=3 {
            enqueue(&store, note_of("u1", id).enqueue_sync()).await;
        }
        let [a, b, c] = [
            remote.next().await,
            remote.next().await,
            remote.next().await,
        ];
        a.fail(HandlerError::unauthenticated());
        b.fail(HandlerError::unauthenticated());
        let (user, answer) = within(refreshes.recv()).await.unwrap();
        assert_eq!(user, "u1");
        enqueue(&store, note_of("u1", 4).enqueue_sync().priority(100)).await;
        enqueue(&store, note_of("u2", 5).enqueue_sync()).await;
        let other = remote.next().await;
        assert_eq!(other.event.user_id, "u2", "other users' events go on");
        other.ok();
        let waits_for = running.explain(4).await.unwrap().waits_for;
        assert!(
            matches!(&waits_for, WaitsFor::Credentials { .. }),
            "{waits_for}"
        );
        answer.send(true).unwrap();
        // A refusal of the old credentials says nothing about the new ones.
        let resumed = remote.next().await;
        assert_eq!((resumed.event.user_id.as_str(), resumed.id()), ("u1", 4));
        c.fail(HandlerError::unauthenticated());
        resumed.ok();
        for _ in 0..3 {
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, 1, "no attempt was used up");
            call.ok();
        }
        for id in 1..=5 {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert!(refreshes.try_recv().is_err(), "one refresh was enough");
        running.stop().await.unwrap();
    });
}

#[test]
fn a_refresh_that_succeeds_during_a_store_call_resumes_the_user() {
    on_each_store(|store, clock| async move {
        let slow = FaultStore::new(store.clone());
        let (mut remote, handlers) = Remote::new();
        let builder = Processor::builder(slow.clone()).handlers(handlers);
        let (mut refreshes, builder) = with_refresh(builder);
        let running = builder.build().unwrap().start_all_users();
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::unauthenticated());
        let (_, answer) = within(refreshes.recv()).await.unwrap();
        answer.send(false).unwrap();
        let again = clock.now() + Duration::from_secs(1);
        within(clock.until_asleep(again)).await;
        let delay = Duration::from_secs(3);
        slow.fail_next(StoreCall::Claim, Fault::DelayAnswer(delay));
        clock.set(again);
        // The store is still claiming for all other users when the credentials arrive.
        let (_, answer) = within(refreshes.recv()).await.unwrap();
        let answered_at = clock.now() + delay;
        within(clock.until_asleep(answered_at)).await;
        answer.send(true).unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        clock.set(answered_at);
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        assert_eq!(slow.injected().delayed_answers, 1);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_refresh_that_fails_is_tried_again_with_growing_delay() {
    on_each_store(|store, clock| async move {
        let (mut remote, builder) = processor(&store);
        let (mut refreshes, builder) = with_refresh(builder);
        // Not one of the delays, so that only the run sleeps until one of them.
        let builder = builder.timeout(Duration::from_secs(29));
        let running = builder.build().unwrap().start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::unauthenticated());
        for delay in [1, 5, 30] {
            let (_, answer) = within(refreshes.recv()).await.unwrap();
            answer.send(false).unwrap();
            let again = clock.now() + Duration::from_secs(delay);
            within(clock.until_asleep(again)).await;
            assert!(remote.is_quiet() && refreshes.try_recv().is_err());
            clock.set(again);
        }
        let (_, answer) = within(refreshes.recv()).await.unwrap();
        answer.send(true).unwrap();
        let call = remote.next().await;
        assert_eq!(call.event.attempt_count, 1);
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn a_rate_limit_pauses_its_handler_set_and_no_other() {
    on_each_store(|store, clock| async move {
        let (done, mut tasks_done) = mpsc::unbounded_channel();
        let (mut remote, builder) = processor(&store);
        let running = builder
            .handle::<Task>(move |event| {
                let done = done.clone();
                async move { done.send(event.entity_id.clone()).or_permanent() }
            })
            .build()
            .unwrap()
            .start("u1");
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let since = clock.now();
        let until = since + Duration::from_secs(9);
        remote
            .next()
            .await
            .fail(HandlerError::rate_limited(Duration::from_secs(9)));
        within(clock.until_asleep(until)).await;
        enqueue(&store, note(2).enqueue_sync().priority(100)).await;
        let task = Task {
            id: 3,
            user_id: "u1".to_owned(),
        };
        enqueue(&store, task.enqueue_sync()).await;
        assert_eq!(within(tasks_done.recv()).await, Some(3.into()));
        let last_error = "rate limited".to_owned();
        assert_eq!(
            running.explain(2).await.unwrap().waits_for,
            WaitsFor::RateLimit {
                since,
                refusals: 1,
                until,
                last_error
            }
        );
        assert!(remote.is_quiet());
        assert_eq!(
            stored(&store, &event).await.attempt_count,
            0,
            "no attempt is used up"
        );
        clock.set(until);
        let first = remote.next().await;
        assert_eq!(first.id(), 2);
        first.ok();
        assert_eq!(remote.next().await.id(), 1);
        running.stop().await.unwrap();
    });
}

#[test]
fn only_a_damaged_row_becomes_a_dead_letter_with_its_bytes() {
    on_each_store(|store, _| async move {
        let broken = NewEvent::new("note", 1, "u1", Operation::Create)
            .with_metadata(RawMetadata::from_bytes(r#"{"text": "#));
        let broken = store.create_event(broken).await.unwrap();
        let other_shape = NewEvent::new("note", 2, "u1", Operation::Create)
            .with_metadata(RawMetadata::from_bytes(r#"{"text": 4711}"#));
        let other_shape = store.create_event(other_shape).await.unwrap();
        let none = NewEvent::new("note", 3, "u1", Operation::Create);
        let none = store.create_event(none).await.unwrap();
        enqueue(&store, note(4).enqueue_sync()).await;
        let (mut remote, builder) = processor(&store);
        let running = builder.build().unwrap().start("u1");
        remote.next().await.ok();
        for id in 1..=3 {
            assert!(!running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert!(running.flush(4, SOON).await.unwrap().is_delivered());
        for (event, reason) in [
            (&broken, "EOF while parsing"),
            (&other_shape, "invalid type: integer, expected a string"),
            (&none, "has no metadata"),
        ] {
            let dead = stored(&store, event).await;
            assert_eq!(dead.dead_reason, Some(DeadReason::Undecodable));
            let message = dead.error_message.unwrap();
            assert!(message.contains(reason), "{message}");
            assert!(
                !message.contains("4711"),
                "the payload stays out of messages: {message}"
            );
            assert_eq!(dead.metadata, event.metadata);
        }
        running.stop().await.unwrap();
    });
}

#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("no connection")]
    NoConnection,
    #[error("server said {0}")]
    Server(u16),
}

impl DeliveryError for SyncError {
    fn delivery(&self) -> Delivery {
        match self {
            Self::NoConnection => Delivery::Offline,
            Self::Server(_) => Delivery::Retry { after: None },
        }
    }
}

#[test]
fn the_question_mark_carries_the_delivery_of_an_error() {
    fn sync(error: SyncError) -> Result<(), HandlerError> {
        Err(error)?
    }
    fn parse(text: &str) -> Result<i32, HandlerError> {
        let number: i32 = text.parse().or_permanent()?;
        Ok(number)
    }
    let error = sync(SyncError::Server(502)).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Retry { after: None });
    assert_eq!(error.to_string(), "server said 502");
    let error = sync(SyncError::NoConnection).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Offline);
    assert_eq!(parse("x").unwrap_err().delivery(), Delivery::Permanent);
    assert_eq!(parse("7").unwrap(), 7);
}

/// A run on a store that answers so often that the event of entity 1 is locked, and counts its
/// calls.
fn with_locked(times: u64) -> (Arc<dyn OutboxRepository>, ProcessorBuilder, Arc<AtomicU32>) {
    let store: Arc<dyn OutboxRepository> =
        Arc::new(Broken::over(Flaw::LocksOutcomes(times), MemoryStore::new()));
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let handler = move |_: Event<Note>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    };
    let builder = Processor::builder(Arc::clone(&store)).handle(handler);
    (store, builder, calls)
}

#[tokio::test]
async fn the_outcome_of_a_locked_event_is_recorded_later_and_holds_up_no_other() {
    let (store, builder, calls) = with_locked(4);
    let mut events = Vec::new();
    for id in 1..=20 {
        events.push(enqueue(&store, note(id).enqueue_sync()).await);
    }
    let running = builder.build().unwrap().start("u1");
    let mut outcomes = running.outcomes();
    let mut delivered = Vec::new();
    for _ in 1..=20 {
        match within(outcomes.next()).await {
            Some(RunOutcome::Delivered { event }) => delivered.push(event.entity_id.clone()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(delivered.last(), Some(&EntityId::from(1)));
    assert_eq!(calls.load(Ordering::SeqCst), 20, "each was sent once");
    running.stop().await.unwrap();
    for event in &events {
        let event = stored(&store, event).await;
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Completed, 1)
        );
    }
}

#[tokio::test]
async fn a_stop_tries_to_record_the_outcome_of_a_locked_event_until_its_deadline() {
    for (times, status) in [
        (3, OutboxStatus::Completed),
        (u64::MAX, OutboxStatus::Processing),
    ] {
        let (store, builder, calls) = with_locked(times);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let builder = builder.stop_deadline(Duration::from_millis(200));
        let running = builder.build().unwrap().start("u1");
        within(async {
            while calls.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(running.stop()).await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(stored(&store, &event).await.status, status, "{times}");
    }
}

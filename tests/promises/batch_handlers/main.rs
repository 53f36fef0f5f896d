//! Batch handlers: several events in one call, each with an outcome of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, OutboxQueue as _};
use outbox_runtime::{
    Batching, BuildError, Clock, DeadReason, HandlerSet, Processor, SignOut, WaitsFor, enqueue_all,
    prelude::*,
};
use outbox_tests::{Note, enqueue, note, note_of, on_each_store, within};
use tokio::sync::mpsc;

use self::service::{Service, delivered, enqueue_notes, gathered, of_entity, start};

mod gathering; // which events are in a batch
mod search; // which event is to blame
mod service; // what the tests share

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(30);

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

/// Until the run sleeps.
async fn until_idle(clock: &outbox_testing::ManualClock) {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    if let Some(next) = clock.next_deadline() {
        clock.until_asleep(next).await;
    }
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

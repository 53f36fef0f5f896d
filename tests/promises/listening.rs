//! An application learns of recorded outcomes: all of them, or how many it missed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::{
    Clock, DeadReason, HandlerError, OutboxStatus, Processor, RunOutcome, prelude::*,
};
use outbox_tests::{Note, enqueue, note, on_each_store, start, start_with, within};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_stream_tells_each_recorded_outcome_with_its_event() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let mut outcomes = running.outcomes();
        for id in 1..=4 {
            enqueue(&store, note(id).enqueue_sync()).await;
            let call = remote.next().await;
            let event = call.event.clone();
            match id {
                1 => call.ok(),
                2 => call.fail(HandlerError::snooze(SOON)),
                3 => call.fail(HandlerError::permanent("no such note")),
                _ => {
                    // A failure that counts, because another event gets through after it.
                    call.fail(HandlerError::retry("500"));
                    enqueue(&store, note(5).enqueue_sync()).await;
                    remote.next().await.ok();
                }
            }
            let outcome = within(outcomes.next()).await.unwrap();
            let stored = store.fetch_event(event.id).await.unwrap().unwrap();
            let told = match outcome.event().unwrap().id == event.id {
                true => outcome.clone(),
                // The neighbor's delivery may come first.
                false => within(outcomes.next()).await.unwrap(),
            };
            let stored = match told.event().unwrap().id == outcome.event().unwrap().id {
                true => stored,
                false => store.fetch_event(event.id).await.unwrap().unwrap(),
            };
            assert_eq!(told.event(), Some(&stored), "it is shown as it is stored");
            match (id, told) {
                (1, RunOutcome::Delivered { .. }) | (2, RunOutcome::Snoozed { .. }) => {}
                (
                    3,
                    RunOutcome::Dead {
                        reason, message, ..
                    },
                ) => {
                    assert_eq!(reason, DeadReason::Rejected);
                    assert_eq!(message, "no such note");
                }
                (4, RunOutcome::Failed { message, event }) => {
                    assert_eq!(message, "500");
                    assert!(event.next_attempt_at > clock.now());
                }
                (_, other) => panic!("{id}: {other:?}"),
            }
        }
        // Two streams get the same, and both end with the run.
        let mut second = running.outcomes();
        running.stop().await.unwrap();
        while let Some(outcome) = within(outcomes.next()).await {
            assert!(outcome.event().is_some(), "{outcome:?}");
        }
        while within(second.next()).await.is_some() {}
        assert_eq!(within(running.outcomes().next()).await, None);
    });
}

#[test]
fn a_stream_that_lags_behind_tells_how_many_outcomes_it_missed() {
    on_each_store(|store, _| async move {
        const COUNT: i64 = 1_000;
        let processor = Processor::builder(store.clone())
            .handle::<Note>(|_| async { Ok(()) })
            .max_concurrency(64)
            .build()
            .unwrap();
        let running = processor.start("u1");
        let mut slow = running.outcomes();
        for id in 0..COUNT {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        for id in 0..COUNT {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
        let (mut told, mut missed) = (0, 0);
        while let Some(outcome) = within(slow.next()).await {
            match outcome {
                RunOutcome::Delivered { .. } => told += 1,
                RunOutcome::Missed { count } => missed += count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((told, missed), (256, COUNT as u64 - 256));
    });
}

#[test]
fn a_callback_gets_each_dead_letter_once_it_is_recorded() {
    on_each_store(|store, _| async move {
        let dead: Arc<Mutex<Vec<OutboxEvent>>> = Arc::default();
        let told = Arc::clone(&dead);
        let (mut remote, running) = start_with(&store, |builder| {
            builder.on_dead(move |event| {
                told.lock().unwrap().push(event.clone());
                panic!("a callback of the application may panic");
            })
        });
        for id in 1..=2 {
            let event = enqueue(&store, note(id).enqueue_sync()).await;
            remote
                .next()
                .await
                .fail(HandlerError::permanent("no such note"));
            let flushed = running.flush(id, SOON).await.unwrap();
            assert!(!flushed.is_delivered());
            let stored = store.fetch_event(event.id).await.unwrap().unwrap();
            assert_eq!(stored.status, OutboxStatus::Dead);
            within(async {
                while dead.lock().unwrap().last() != Some(&stored) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        enqueue(&store, note(3).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        assert_eq!(dead.lock().unwrap().len(), 2, "a delivery is none");
        running.stop().await.unwrap();
    });
}

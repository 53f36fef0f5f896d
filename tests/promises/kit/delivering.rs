//! Runs until nothing is left, until the first failure, and inline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outbox_runtime::{
    Batching, Clock as _, DeadReason, HandlerSet, NewEvent, RetryPolicy, WaitsFor, prelude::*,
};
use outbox_testing::{Inline, KitError, ManualClock, assert_enqueued, drain, run_until_failed};
use outbox_tests::{on_each_store, within};

use crate::{Goal, SOON, goal};

/// Accepts odd ids and rejects even ones.
fn odd() -> HandlerSet {
    HandlerSet::new().with(|event: Event<Goal>| async move {
        match event.entity_id.as_integer() {
            Some(id) if id % 2 == 1 => Ok(()),
            _ => Err(HandlerError::permanent("even")),
        }
    })
}

async fn enqueue(store: &dyn OutboxRepository, change: outbox_runtime::Enqueue) -> OutboxEvent {
    store
        .create_event(change.into_event().unwrap())
        .await
        .unwrap()
}

#[test]
fn a_drain_reports_what_is_delivered_dead_and_waiting() {
    on_each_store(|store, _| async move {
        for id in 1..=4 {
            enqueue(&*store, goal(id).enqueue_create()).await;
        }
        // Behind a dead letter, due later, and without a handler.
        enqueue(&*store, goal(2).enqueue_update()).await;
        enqueue(&*store, goal(5).enqueue_create().delay(SOON * 2)).await;
        let stray = NewEvent::new("mood.created", 6, "u1", Operation::Create);
        store.create_event(stray).await.unwrap();
        let processor = Processor::builder(Arc::clone(&store))
            .handlers(odd())
            .build();
        let report = within(drain(&processor.unwrap(), SOON)).await.unwrap();
        let mut delivered: Vec<_> = report
            .delivered
            .iter()
            .map(|it| it.entity_id.clone())
            .collect();
        delivered.sort_by_key(EntityId::as_integer);
        assert_eq!(delivered, [EntityId::from(1), EntityId::from(3)]);
        assert_eq!((report.dead.len(), report.missed), (2, 0));
        assert_eq!(report.dead[0].dead_reason, Some(DeadReason::Rejected));
        let of = |id: i64| &report.waiting_for(id).unwrap().waits_for;
        assert!(matches!(of(2), WaitsFor::Decision { .. }), "{report}");
        assert!(matches!(of(5), WaitsFor::DueTime { .. }), "{report}");
        assert!(matches!(of(6), WaitsFor::Registration { .. }), "{report}");
        let text = report.to_string();
        assert!(
            text.contains("goal 2 of \"u1\": create, priority 0, dead, rejected: even"),
            "{text}"
        );
        assert!(text.contains("waiting: 3"), "{text}");
        let asserted = std::panic::catch_unwind(|| report.assert_empty());
        let message = *asserted.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(message, format!("not everything was delivered\n{text}"));
    });
}

#[test]
fn a_drain_delivers_everything_of_all_users() {
    on_each_store(|store, _| async move {
        for id in 0..600 {
            let user_id = format!("u{}", id % 7);
            let goal = Goal {
                id: 2 * id + 1,
                user_id,
            };
            enqueue(&*store, goal.enqueue_create()).await;
        }
        let processor = Processor::builder(Arc::clone(&store))
            .handlers(odd())
            .build();
        let report = within(drain(&processor.unwrap(), SOON)).await.unwrap();
        assert!(report.is_empty(), "{report}");
        assert_eq!(report.delivered.len() as u64 + report.missed, 600);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_reports_deliveries_that_other_threads_make_at_once() {
    let store = MemoryStore::new();
    let processor = Processor::builder(store.clone()).handlers(odd());
    let processor = processor.build().unwrap();
    for nth in 0..300 {
        enqueue(&store, goal(2 * nth + 1).enqueue_create()).await;
        let report = within(drain(&processor, SOON)).await.unwrap();
        assert_eq!(report.delivered.len(), 1, "drain {nth}");
    }
}

#[test]
fn a_drain_ends_at_its_timeout_while_a_handler_hangs() {
    on_each_store(|store, clock| async move {
        enqueue(&*store, goal(1).enqueue_create()).await;
        let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let hangs = move |_: Event<Goal>| {
            let _ = began.send(());
            std::future::pending()
        };
        let processor = Processor::builder(Arc::clone(&store))
            .handle(hangs)
            .build()
            .unwrap();
        let timeout = Duration::from_secs(5);
        let draining = tokio::spawn(async move { drain(&processor, timeout).await });
        within(begun.recv()).await.unwrap();
        clock.advance(timeout);
        let report = within(draining).await.unwrap().unwrap();
        assert_eq!(report.waiting.len(), 1);
        assert!(
            matches!(report.waiting[0].waits_for, WaitsFor::Handler { .. }),
            "{report}"
        );
        let event = store
            .fetch_event(report.waiting[0].event.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Pending, 0)
        );
    });
}

#[test]
fn the_first_failure_ends_a_run_whether_it_counts_or_not() {
    on_each_store(|store, _| async move {
        for (answer, attempts) in [("offline", 0), ("permanent", 1), ("panic", 0)] {
            let event = enqueue(&*store, goal(7).enqueue_create()).await;
            let processor =
                Processor::builder(Arc::clone(&store)).handle(move |_: Event<Goal>| async move {
                    match answer {
                        "offline" => Err(HandlerError::offline()),
                        "permanent" => Err(HandlerError::permanent("no")),
                        _ => panic!("an accident"),
                    }
                });
            let processor = processor.build().unwrap();
            let failed = within(run_until_failed(&processor, SOON))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (failed.id, failed.attempt_count),
                (event.id, attempts),
                "{answer}"
            );
            assert_ne!(failed.status, OutboxStatus::Processing, "{answer}");
            assert!(store.delete_event(event.id).await.unwrap());
        }
        enqueue(&*store, goal(1).enqueue_create()).await;
        let processor = Processor::builder(Arc::clone(&store))
            .handlers(odd())
            .build()
            .unwrap();
        assert_eq!(
            within(run_until_failed(&processor, SOON)).await.unwrap(),
            None
        );
    });
}

#[test]
fn a_run_is_idle_when_only_time_helps() {
    on_each_store(|store, clock: ManualClock| async move {
        let refusals = Arc::new(AtomicU32::new(3));
        let left = Arc::clone(&refusals);
        let handler = move |_: Event<Goal>| {
            let left = Arc::clone(&left);
            async move {
                match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                }) {
                    Ok(_) => Err(HandlerError::unavailable("not yet")),
                    Err(_) => Ok(()),
                }
            }
        };
        let processor = Processor::builder(Arc::clone(&store))
            .handle(handler)
            .build()
            .unwrap();
        let running = processor.start_all_users();
        enqueue(&*store, goal(1).enqueue_create()).await;
        for refused in 1..=3 {
            let idle = within(clock.until_idle(&running)).await.unwrap();
            let WaitsFor::Outage(outage) = &idle.waiting[0].waits_for else {
                panic!("{idle}");
            };
            assert_eq!(outage.refusals, refused);
            clock.set(outage.probe_at);
        }
        assert_eq!(
            within(clock.until_idle(&running))
                .await
                .unwrap()
                .assert_empty(),
            1
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn a_run_is_idle_while_a_batch_waits_for_more() {
    on_each_store(|store, clock| async move {
        let wait = Duration::from_secs(2);
        let processor = Processor::builder(Arc::clone(&store))
            .handle_batch::<Goal>(Batching::of(10).within(wait), |_| async { Ok(()) })
            .build()
            .unwrap();
        let running = processor.start_all_users();
        let until = clock.now() + wait;
        for id in 1..=2 {
            enqueue(&*store, goal(id).enqueue_create()).await;
        }
        let idle = within(clock.until_idle(&running)).await.unwrap();
        assert_eq!(idle.waiting.len(), 2, "{idle}");
        for waiting in &idle.waiting {
            assert_eq!(waiting.waits_for, WaitsFor::Batch { until });
        }
        clock.set(until);
        let idle = within(clock.until_idle(&running)).await.unwrap();
        assert_eq!(idle.assert_empty(), 2);
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_run_on_another_clock_is_refused() {
    let inline = Inline::start(MemoryStore::new(), odd()).unwrap();
    let refused = ManualClock::new().until_idle(inline.running()).await;
    assert!(matches!(refused, Err(KitError::OtherClock)), "{refused:?}");
}

#[test]
fn enqueueing_inline_returns_after_the_attempt() {
    on_each_store(|store, _| async move {
        let inline = Inline::start(Arc::clone(&store), odd()).unwrap();
        let event = within(goal(1).enqueue_create().on(&inline)).await.unwrap();
        assert_eq!(event.status, OutboxStatus::Completed);
        let event = within(goal(2).enqueue_create().on(&inline)).await.unwrap();
        assert_eq!(event.dead_reason, Some(DeadReason::Rejected));
        let later = goal(3).enqueue_create().delay(SOON);
        let event = within(later.on(&inline)).await.unwrap();
        assert_eq!(event.status, OutboxStatus::Pending);
        // What the application enqueues in its own way is delivered by the same run.
        enqueue(&*store, goal(5).enqueue_create()).await;
        let report = within(inline.settled()).await.unwrap();
        assert_eq!(
            (report.dead.len(), report.waiting.len()),
            (1, 1),
            "{report}"
        );
        assert_enqueued!(store, Goal, entity_id = 5, status = Completed);
        let long = goal(1).enqueue_update().destination("");
        assert!(
            long.on(&inline).await.is_err(),
            "a refused event is an error"
        );
    });
}

#[test]
fn enqueueing_inline_returns_after_the_attempt_of_a_batch_that_could_wait() {
    on_each_store(|store, _| async move {
        let sizes = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&sizes);
        // The clock stands still, so no batch is sent for its time.
        let batching = Batching::of(10).within(SOON);
        let handlers = HandlerSet::new().with_batch::<Goal>(batching, move |batch| {
            count.fetch_add(u32::try_from(batch.len()).unwrap(), Ordering::Relaxed);
            async { Ok(()) }
        });
        let inline = Inline::start(Arc::clone(&store), handlers).unwrap();
        let event = within(goal(1).enqueue_create().on(&inline)).await.unwrap();
        assert_eq!(event.status, OutboxStatus::Completed);
        // Two of one lane, in two batches; and one that is due later.
        for id in [2, 2, 3] {
            enqueue(&*store, goal(id).enqueue_update()).await;
        }
        enqueue(&*store, goal(4).enqueue_update().delay(SOON)).await;
        let report = within(inline.settled()).await.unwrap();
        assert_eq!(
            (report.delivered.len(), report.waiting.len()),
            (3, 1),
            "{report}"
        );
        assert_eq!(sizes.load(Ordering::Relaxed), 4);
    });
}

#[tokio::test]
async fn a_retry_that_counts_is_reported_as_failed() {
    let store = MemoryStore::new();
    let event = enqueue(&store, goal(1).enqueue_create()).await;
    let processor = Processor::builder(store.clone())
        .handle(|_: Event<Goal>| async { Err(HandlerError::retry("later")) })
        .charge(outbox_runtime::Charge::Always)
        .retry(RetryPolicy::new(vec![SOON]));
    let processor = processor.build().unwrap();
    let failed = within(run_until_failed(&processor, SOON))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (failed.id, failed.status, failed.attempt_count),
        (event.id, OutboxStatus::Failed, 1)
    );
    // A run that changes nothing finds no failure: that one was before it.
    assert_eq!(
        within(run_until_failed(&processor, Duration::from_millis(10)))
            .await
            .unwrap(),
        None
    );
}

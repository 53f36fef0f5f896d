//! The search for the events to blame in a batch that was refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use outbox_runtime::{Batching, Clock, DeadReason, prelude::*};
use outbox_tests::{Any, Note, note, on_each_store, within};

use super::service::{Service, delivered, enqueue_notes, of_entity, start};
use super::{SECOND, SOON, until_idle};

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

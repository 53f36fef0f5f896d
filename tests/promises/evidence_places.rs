//! The search for evidence leaves no needed place idle, and takes no place that others need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::{Clock, Processor, WaitsFor, prelude::*};
use outbox_tests::{Remote, enqueue, note, on_each_store, within};

const SECOND: Duration = Duration::from_secs(1);
/// The delay before a second attempt starts beside an unanswered one.
const PATIENCE: Duration = Duration::from_millis(750);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until the run has done everything that is due: a whole round lies between the two
/// answers.
async fn round(running: &Running) {
    for _ in 0..2 {
        running.explain(1).await.unwrap();
    }
}

/// An endpoint is in doubt, and the attempt that is to tell whose fault it is hangs: 5 % of calls
/// that do would else stop everybody for half a minute each.
#[test]
fn another_event_is_tried_beside_one_that_hangs_and_no_more_than_are_evidence_enough() {
    on_each_store(|store, clock| async move {
        let (mut remote, handlers) = Remote::new();
        let running = Processor::builder(store.clone())
            .handlers(handlers)
            .max_concurrency(6)
            .build()
            .unwrap()
            .start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        let first = remote.next().await;
        enqueue(&store, note(2).enqueue_sync()).await;
        // Under way when the first one is refused: what becomes of it counts, too.
        let second = remote.next().await;
        first.fail(HandlerError::retry("HTTP 500"));
        for id in 3..10 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        let mut hanging = vec![second, remote.next().await];
        for _ in 0..3 {
            let until = clock.now() + PATIENCE;
            within(clock.until_asleep(until)).await;
            assert!(remote.is_quiet(), "one at a time");
            clock.set(until);
            hanging.push(remote.next().await);
        }
        assert_eq!(hanging.len(), 5, "a place is free");
        clock.set(clock.now() + PATIENCE);
        round(&running).await;
        assert!(remote.is_quiet(), "four more tell enough");
        let explanation = running.explain(1).await.unwrap();
        assert!(
            matches!(explanation.waits_for, WaitsFor::Evidence { .. }),
            "{explanation}"
        );
        // One gets through, so it is the first event's own fault.
        hanging.pop().unwrap().ok();
        for _ in 0..3 {
            remote.next().await.ok();
        }
        for call in hanging {
            call.ok();
        }
        let failed = running.explain(1).await.unwrap().first.unwrap();
        assert_eq!(failed.attempt_count, 1);
        running.stop().await.unwrap();
    });
}

/// One place, six events to the north and, younger, ten to the south.
async fn at_two_destinations(store: &Arc<dyn OutboxRepository>) -> (Remote, Running) {
    let (remote, handlers) = Remote::new();
    for id in 1..7 {
        enqueue(store, note(id).enqueue_sync().destination("north")).await;
    }
    for id in 11..21 {
        enqueue(store, note(id).enqueue_sync().destination("south")).await;
    }
    let running = Processor::builder(store.clone())
        .handlers(handlers)
        .max_concurrency(1)
        .build()
        .unwrap()
        .start("u1");
    (remote, running)
}

/// With one place, a hanging attempt blocks all others for half a minute, so the others go first
/// for as long as it took.
#[test]
fn what_hangs_at_an_endpoint_in_doubt_makes_way_for_others() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = at_two_destinations(&store).await;
        assert_eq!(remote.next().await.id(), 1);
        clock.set(clock.now() + TIMEOUT);
        // For as long as the attempt hung.
        for _ in 0..6 {
            let call = remote.next().await;
            assert_eq!(call.event.destination.as_deref(), Some("south"));
            clock.set(clock.now() + SECOND * 5);
            call.ok();
        }
        // Then it is the turn of the endpoint in doubt again.
        let mut calls = vec![remote.next().await];
        if calls[0].event.destination.as_deref() == Some("south") {
            calls.pop().unwrap().ok();
            calls.push(remote.next().await);
        }
        assert_eq!(calls[0].event.destination.as_deref(), Some("north"));
        clock.set(clock.now() + TIMEOUT);
        for _ in 0..3 {
            let call = remote.next().await;
            assert_eq!(call.event.destination.as_deref(), Some("south"));
            call.ok();
        }
        running.stop().await.unwrap();
    });
}

/// With one place, neither the endpoint in doubt nor the others starve.
#[test]
fn an_endpoint_in_doubt_and_the_others_take_turns() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = at_two_destinations(&store).await;
        let call = remote.next().await;
        assert_eq!(call.id(), 1);
        call.fail(HandlerError::retry("HTTP 500"));
        let mut to_north = Vec::new();
        for _ in 0..6 {
            let call = remote.next().await;
            let is_to_north = call.event.destination.as_deref() == Some("north");
            match is_to_north {
                true => call.fail(HandlerError::retry("HTTP 500")),
                false => call.ok(),
            }
            to_north.push(is_to_north);
        }
        let is_in_turn = to_north.windows(2).all(|two| two[0] != two[1]);
        assert!(is_in_turn, "{to_north:?}");
        running.stop().await.unwrap();
    });
}

/// That an event is refused with refreshed credentials may be chance: another one tells at once. It
/// would else cost a second of the user's time.
#[test]
fn another_event_is_tried_before_credentials_are_refreshed_again() {
    for helps in [true, false] {
        on_each_store(|store, clock| async move {
            let refreshes = Arc::new(AtomicUsize::new(0));
            let count = refreshes.clone();
            let (mut remote, handlers) = Remote::new();
            for id in 1..5 {
                enqueue(&store, note(id).enqueue_sync()).await;
            }
            let running = Processor::builder(store.clone())
                .handlers(handlers)
                .max_concurrency(1)
                .on_unauthenticated(move |_| {
                    count.fetch_add(1, Ordering::SeqCst);
                    async { Ok(()) }
                })
                .build()
                .unwrap()
                .start("u1");
            let mut ids = Vec::new();
            for _ in 0..2 {
                let call = remote.next().await;
                ids.push(call.id());
                call.fail(HandlerError::unauthenticated());
            }
            let refresh_at = clock.now() + SECOND;
            let call = remote.next().await;
            ids.push(call.id());
            assert_eq!(ids[..2], [1, 2]);
            assert!(!ids[..2].contains(&ids[2]), "{ids:?}");
            assert_eq!(refreshes.load(Ordering::SeqCst), 1);
            if helps {
                call.ok();
                // All but the one that makes way.
                for _ in 0..2 {
                    let call = remote.next().await;
                    assert_ne!(call.id(), 2);
                    call.ok();
                }
            } else {
                call.fail(HandlerError::unauthenticated());
                within(clock.until_asleep(refresh_at)).await;
                round(&running).await;
                assert!(remote.is_quiet(), "one more event tells");
            }
            within(clock.until_asleep(refresh_at)).await;
            clock.set(refresh_at);
            let call = remote.next().await;
            assert_eq!(refreshes.load(Ordering::SeqCst), if helps { 1 } else { 2 });
            assert!(call.id() == 2 || !helps, "{}", call.id());
            call.ok();
            running.stop().await.unwrap();
        });
    }
}

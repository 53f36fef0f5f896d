//! Evidence: whether a refusal is the event's fault, where that depends on the order of answers.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{
    Clock, OutageExtent, Processor, RefusalClass, RetryPolicy, TroubleKind, WaitsFor, prelude::*,
};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Remote, enqueue, note, note_of, on_each_store, within};

const SECOND: Duration = Duration::from_secs(1);

async fn stored(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

/// Event 1 fails, others get through, event 1 is refused for another reason, and then fails again:
/// nothing got through between the last two, so the last failure is no evidence against the event.
#[test]
fn a_refusal_of_another_class_resets_the_evidence_against_an_event() {
    for (other, wait) in [
        (HandlerError::rate_limited as fn(_) -> _, 3),
        (|_| HandlerError::unauthenticated(), 0),
    ] {
        on_each_store(|store, clock| async move {
            let (mut remote, handlers) = Remote::new();
            let running = Processor::builder(store.clone())
                .handlers(handlers)
                .retry(RetryPolicy::default().without_jitter())
                .build()
                .unwrap()
                .start("u1");
            let event = enqueue(&store, note(1).enqueue_sync()).await;
            let failing = remote.next().await;
            let neighbor = enqueue(&store, note(2).enqueue_sync()).await;
            let passing = remote.next().await;
            failing.fail(HandlerError::retry("HTTP 500"));
            passing.ok();
            let due = clock.now() + SECOND;
            within(clock.until_asleep(due)).await;
            let is_done = stored(&store, &neighbor).await.status == OutboxStatus::Completed;
            assert!(is_done);
            assert_eq!(stored(&store, &event).await.attempt_count, 1);
            clock.set(due);
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, 2);
            call.fail(other(SECOND * wait));
            if wait > 0 {
                let until = clock.now() + SECOND * wait;
                within(clock.until_asleep(until)).await;
                clock.set(until);
            }
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, 2, "no attempt is used up");
            call.fail(HandlerError::retry("HTTP 500"));
            let probe_at = clock.now() + SECOND;
            within(clock.until_asleep(probe_at)).await;
            let explanation = running.explain(1).await.unwrap();
            let WaitsFor::Outage(outage) = explanation.waits_for else {
                panic!("{explanation}");
            };
            assert_eq!(outage.class, RefusalClass::Retry);
            assert_eq!(stored(&store, &event).await.attempt_count, 1);
            running.stop().await.unwrap();
        });
    }
}

/// The credentials are good, because other events of the user get through with them, and so is each
/// event.
#[test]
fn credentials_refused_by_one_destination_delay_nothing_else_and_charge_no_event() {
    on_each_store(|store, clock| async move {
        let (mut remote, handlers) = Remote::new();
        let mut refused = Vec::new();
        for id in 0..30 {
            let change = note(2 * id).enqueue_sync().destination("north");
            refused.push(enqueue(&store, change).await);
            enqueue(&store, note(2 * id + 1).enqueue_sync()).await;
        }
        let running = Processor::builder(store.clone())
            .handlers(handlers)
            .max_concurrency(1)
            .on_unauthenticated(|_| async { Ok(()) })
            .build()
            .unwrap()
            .start("u1");
        let mut calls_of_north = 0;
        for _ in 0..30 {
            loop {
                let call = remote.next().await;
                if call.event.destination.is_none() {
                    break call.ok();
                }
                calls_of_north += 1;
                assert!(calls_of_north <= 2, "north is called repeatedly");
                call.fail(HandlerError::unauthenticated());
            }
        }
        // The first probe.
        let probe_at = clock.now() + SECOND;
        within(clock.until_asleep(probe_at)).await;
        let explanation = running.explain(0).await.unwrap();
        let WaitsFor::Outage(outage) = explanation.waits_for else {
            panic!("{explanation}");
        };
        assert_eq!(outage.class, RefusalClass::Unauthenticated);
        assert_eq!(outage.probe_at, probe_at);
        clock.set(probe_at);
        let probe = remote.next().await;
        assert_eq!(probe.event.destination.as_deref(), Some("north"));
        probe.ok();
        for _ in 1..30 {
            remote.next().await.ok();
        }
        assert!(running.flush(2, SECOND * 30).await.unwrap().is_delivered());
        for event in refused {
            let event = stored(&store, &event).await;
            assert_eq!((event.attempt_count, event.deferrals), (1, 0));
        }
        running.stop().await.unwrap();
    });
}

/// The refused events wait for a refresh, which has not helped before; a new event for an endpoint
/// that has not refused the credentials does not wait.
#[test]
fn credentials_refused_elsewhere_are_tried_at_once() {
    for is_for_all in [true, false] {
        on_each_store(|store, clock| async move {
            let (mut remote, handlers) = Remote::new();
            let processor = Processor::builder(store.clone())
                .handlers(handlers)
                .on_unauthenticated(|_| async { Ok(()) })
                .build()
                .unwrap();
            let running = match is_for_all {
                true => processor.start_all_users(),
                false => processor.start("u1"),
            };
            enqueue(&store, note(1).enqueue_sync().destination("north")).await;
            remote.next().await.fail(HandlerError::unauthenticated());
            for seconds in [1, 5] {
                remote.next().await.fail(HandlerError::unauthenticated());
                let refresh_at = clock.now() + SECOND * seconds;
                within(clock.until_asleep(refresh_at)).await;
                if seconds == 1 {
                    clock.set(refresh_at);
                }
            }
            enqueue(&store, note(2).enqueue_sync().destination("south")).await;
            let call = remote.next().await;
            assert_eq!(call.id(), 2);
            call.ok();
            // The credentials work as they are.
            let call = remote.next().await;
            assert_eq!(call.id(), 1);
            call.ok();
            assert!(running.flush(1, SECOND * 30).await.unwrap().is_delivered());
            running.stop().await.unwrap();
        });
    }
}

/// A new event does not wait longer because its user or its endpoint was just refused.
#[test]
fn a_new_event_is_probed_within_two_probes() {
    for newcomer_of in ["u1", "u2"] {
        on_each_store(|store, clock| async move {
            let (mut remote, handlers) = Remote::new();
            for id in 0..40 {
                let user = if id % 2 == 0 { "u1" } else { "u2" };
                enqueue(&store, note_of(user, id).enqueue_sync()).await;
            }
            let running = Processor::builder(store.clone())
                .handlers(handlers)
                .max_concurrency(1)
                .build()
                .unwrap()
                .start_all_users();
            for _ in 0..5 {
                remote.next().await.fail(HandlerError::retry("HTTP 500"));
            }
            let mut began = clock.now();
            let mut pause = SECOND;
            let mut tried = Vec::new();
            for probe in 0..9 {
                if probe % 3 == 0 {
                    enqueue(&store, note_of(newcomer_of, 100 + probe).enqueue_sync()).await;
                }
                within(clock.until_asleep(began + pause)).await;
                clock.set(began + pause);
                began = clock.now();
                pause = (pause * 2).min(SECOND * 60);
                let call = remote.next().await;
                tried.push(call.id());
                call.fail(HandlerError::retry("HTTP 500"));
                if probe % 3 == 1 {
                    let newcomer = 100 + probe - 1;
                    assert!(tried.contains(&newcomer), "{newcomer}: {tried:?}");
                }
            }
            running.stop().await.unwrap();
        });
    }
}

/// A recovering destination, limited to one attempt at a time, answers with a rate limit: after the
/// pause, another event is tried, as after any pause.
#[test]
fn half_open_another_event_is_tried_after_a_rate_limit() {
    on_each_store(|store, clock| async move {
        let (mut remote, handlers) = Remote::new();
        let builder = Processor::builder(store.clone()).handlers(handlers);
        let running = builder.build().unwrap().start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        let unavailable = HandlerError::unavailable("HTTP 503");
        remote.next().await.fail(unavailable);
        let probe_at = clock.now() + SECOND;
        within(clock.until_asleep(probe_at)).await;
        clock.set(probe_at);
        // Half-open: one attempt at a time from here on.
        remote.next().await.ok();
        assert!(running.flush(1, SECOND * 30).await.unwrap().is_delivered());
        enqueue(&store, note(2).enqueue_sync().priority(100)).await;
        enqueue(&store, note(3).enqueue_sync()).await;
        for is_last in [false, true] {
            let call = remote.next().await;
            assert_eq!(call.id(), 2);
            call.fail(HandlerError::rate_limited(SECOND));
            let until = clock.now() + SECOND;
            within(clock.until_asleep(until)).await;
            clock.set(until);
            let call = remote.next().await;
            assert_eq!(call.id(), 3, "the same event is tried repeatedly");
            call.ok();
            if !is_last {
                enqueue(&store, note(3).enqueue_sync()).await;
            }
        }
        remote.next().await.ok();
        running.stop().await.unwrap();
    });
}

/// A lone event that is refused repeatedly never dies of it; the explanation has the first refusal,
/// the count, the reason, and the next attempt.
#[test]
fn a_lone_refused_event_is_reported_by_explain_and_health() {
    on_each_store(|store, clock| async move {
        let (mut remote, handlers) = Remote::new();
        let running = Processor::builder(store.clone())
            .handlers(handlers)
            .on_unauthenticated(|_| async { Ok(()) })
            .build()
            .unwrap()
            .start("u1");
        let begin = clock.now();
        let told = |class| {
            let health = running.health();
            let [trouble] = health.troubles() else {
                panic!("{health:?}");
            };
            let extent_and_class = match &trouble.kind {
                TroubleKind::Outage { extent, class } => (extent.clone(), *class),
                other => panic!("{other:?}"),
            };
            assert_eq!(extent_and_class.1, class);
            (extent_and_class.0, trouble.since, trouble.times)
        };
        enqueue(&store, note(1).enqueue_sync()).await;
        for pause in [1, 2, 4] {
            remote.next().await.fail(HandlerError::rate_limited(SECOND));
            let until = clock.now() + SECOND * pause;
            within(clock.until_asleep(until)).await;
            if pause == 4 {
                let expected = WaitsFor::RateLimit {
                    since: begin,
                    refusals: 3,
                    until,
                    last_error: "rate limited".to_owned(),
                };
                assert_eq!(running.explain(1).await.unwrap().waits_for, expected);
                let outage = told(RefusalClass::RateLimited);
                assert_eq!(outage, (OutageExtent::HandlerSet, begin, 3));
            }
            clock.set(until);
        }
        remote.next().await.ok();
        assert!(running.flush(1, SECOND * 30).await.unwrap().is_delivered());

        let begin = clock.now();
        enqueue(&store, note(2).enqueue_sync()).await;
        let mut refusals = 1;
        remote.next().await.fail(HandlerError::unauthenticated());
        for delay in [1, 5] {
            remote.next().await.fail(HandlerError::unauthenticated());
            refusals += 1;
            let refresh_at = clock.now() + SECOND * delay;
            within(clock.until_asleep(refresh_at)).await;
            let expected = WaitsFor::Credentials {
                since: begin,
                refusals,
                refresh_at: Some(refresh_at),
                last_error: "the credentials were refused".to_owned(),
            };
            assert_eq!(running.explain(2).await.unwrap().waits_for, expected);
            let outage = told(RefusalClass::Unauthenticated);
            assert_eq!(outage, (OutageExtent::User, begin, refusals.into()));
            clock.set(refresh_at);
        }
        remote.next().await.ok();
        assert!(running.flush(2, SECOND * 30).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

/// A store call that is in progress when the probe becomes due takes longer than that.
#[test]
fn a_probe_that_becomes_due_during_a_store_call_is_made() {
    on_each_store(|store, clock| async move {
        let slow = FaultStore::new(store.clone());
        let (mut remote, handlers) = Remote::new();
        let builder = Processor::builder(slow.clone()).handlers(handlers);
        let running = builder.build().unwrap().start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::offline());
        within(clock.until_asleep(clock.now() + SECOND)).await;
        slow.fail_next(StoreCall::NextDue, Fault::DelayAnswer(SECOND * 5));
        enqueue(&store, note(2).enqueue_sync()).await;
        let answered_at = clock.now() + SECOND * 5;
        within(clock.until_asleep(answered_at)).await;
        clock.set(answered_at);
        remote.next().await.ok();
        remote.next().await.ok();
        assert_eq!(slow.injected().delayed_answers, 1);
        running.stop().await.unwrap();
    });
}

/// Other events getting through after the last attempt are no evidence against it, because the
/// service may just have recovered. If the event fails again while others succeed before and after,
/// it is at fault.
#[test]
fn the_last_attempt_buries_no_event_without_evidence() {
    on_each_store(|store, clock| async move {
        let start = || {
            let (remote, handlers) = Remote::new();
            let builder = Processor::builder(store.clone()).handlers(handlers);
            let builder = builder.retry(RetryPolicy::default().without_jitter());
            (remote, builder.build().unwrap().start("u1"))
        };
        let failure = || HandlerError::retry("HTTP 500");
        let (mut remote, running) = start();
        let event = enqueue(&store, note(1).enqueue_sync().max_attempts(2)).await;
        let failing = remote.next().await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let passing = remote.next().await;
        failing.fail(failure());
        passing.ok();
        let due = clock.now() + SECOND;
        within(clock.until_asleep(due)).await;
        running.stop().await.unwrap();

        // A new process without that knowledge.
        clock.set(due);
        let (mut remote, running) = start();
        let last = remote.next().await;
        assert_eq!(last.event.attempt_count, 2);
        let neighbor = |id| enqueue(&store, note(id).enqueue_sync());
        neighbor(3).await;
        let slow = remote.next().await;
        last.fail(failure());
        neighbor(4).await;
        let passing = remote.next().await;
        assert_eq!(passing.id(), 4);
        passing.ok();
        let again = remote.next().await;
        assert_eq!((again.id(), again.event.attempt_count), (1, 2));
        again.fail(failure());
        neighbor(5).await;
        let passing = remote.next().await;
        // This attempt began before the failure, so it is no evidence.
        slow.ok();
        assert!(running.flush(3, SECOND * 30).await.unwrap().is_delivered());
        assert_ne!(stored(&store, &event).await.status, OutboxStatus::Dead);
        passing.ok();
        assert!(!running.flush(1, SECOND * 30).await.unwrap().is_delivered());
        assert_eq!(stored(&store, &event).await.status, OutboxStatus::Dead);
        running.stop().await.unwrap();
    });
}

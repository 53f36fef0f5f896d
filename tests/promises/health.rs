//! A run reports whether it works, why not, and whether it has ended.

use std::time::Duration;

use outbox_runtime::{
    Clock, Health, OutageExtent, StoreErrorKind, TroubleKind, WaitsFor, prelude::*,
};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Log, Temporary, enqueue, note, on_each_store, start, start_with, within};

const SOON: Duration = Duration::from_secs(30);
const UNAVAILABLE: Fault = Fault::Fail(StoreErrorKind::Unavailable);

#[test]
fn a_store_that_fails_degrades_a_run_until_it_works_again() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start(&faulty);
        within(clock.until_asleep(clock.now() + Duration::from_secs(300))).await;
        assert_eq!(running.health(), Health::Healthy);
        faulty.fail_next_times(2, StoreCall::Claim, UNAVAILABLE);
        let began = clock.now();
        enqueue(&store, note(1).enqueue_sync()).await;
        let health = within(running.health_changed(Health::Healthy)).await;
        let [trouble] = health.troubles() else {
            panic!("{health:?}");
        };
        assert_eq!(
            trouble.kind,
            TroubleKind::Store(StoreErrorKind::Unavailable)
        );
        assert_eq!((trouble.since, trouble.times), (began, 1));
        assert!(trouble.last_error.contains("claim"), "{trouble:?}");
        let retry_at = trouble.retry_at.unwrap();
        let explanation = running.explain(1).await.unwrap();
        assert_eq!(explanation.waits_for, WaitsFor::Store { retry_at });

        within(clock.until_asleep(retry_at)).await;
        clock.set(retry_at);
        let again = within(running.health_changed(health)).await;
        assert_eq!(
            (again.troubles()[0].since, again.troubles()[0].times),
            (began, 2)
        );
        let retry_at = again.troubles()[0].retry_at.unwrap();
        within(clock.until_asleep(retry_at)).await;
        clock.set(retry_at);
        remote.next().await.ok();
        assert_eq!(within(running.health_changed(again)).await, Health::Healthy);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_trigger_does_not_wait_for_the_end_of_a_back_off() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start(&faulty);
        within(clock.until_asleep(clock.now() + Duration::from_secs(300))).await;
        faulty.fail_next(StoreCall::Claim, UNAVAILABLE);
        enqueue(&store, note(1).enqueue_sync()).await;
        within(running.health_changed(Health::Healthy)).await;
        running.trigger();
        remote.next().await.ok();
        running.stop().await.unwrap();
    });
}

#[test]
fn a_stopped_run_has_ended_for_every_handle() {
    on_each_store(|store, _| async move {
        let (_remote, running) = start(&store);
        let ended = tokio::spawn(running.ended());
        let other = running.clone();
        let stopped = within(running.stop()).await.unwrap();
        assert_eq!(within(ended).await.unwrap().unwrap(), stopped);
        assert_eq!(
            within(other.stop()).await.unwrap(),
            stopped,
            "the same result again"
        );
        assert_eq!(other.health(), Health::Ended { error: None });
        enqueue(&store, note(1).enqueue_sync()).await;
        let explanation = other.explain(1).await.unwrap();
        assert_eq!(explanation.waits_for, WaitsFor::Start);
        assert_eq!(
            other.suspend(SOON).await.unwrap_err().kind(),
            StoreErrorKind::Closed
        );
    });
}

#[test]
fn a_suspended_run_says_so() {
    on_each_store(|store, _| async move {
        let (_remote, running) = start(&store);
        running.suspend(SOON).await.unwrap();
        assert_eq!(running.health(), Health::Suspended);
        running.resume().await.unwrap();
        assert_eq!(running.health(), Health::Healthy);
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_run_whose_store_was_closed_ends_and_says_why() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    assert!(running.health().is_healthy());
    let ended = running.ended();
    temporary.store.close().await;
    let error = within(ended).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
    let Health::Ended { error: Some(why) } = running.health() else {
        panic!("{:?}", running.health());
    };
    assert!(why.contains("closed"), "{why}");
    let stopped = within(running.stop()).await.unwrap();
    assert_eq!(stopped.given_back, 0, "no event was in flight");
}

#[tokio::test]
async fn a_run_whose_store_was_closed_while_it_was_suspended_ends_when_it_is_resumed() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    running.suspend(Duration::ZERO).await.unwrap();
    temporary.store.close().await;
    let resumed = within(running.resume()).await.unwrap_err();
    assert_eq!(resumed.kind(), StoreErrorKind::Closed);
    let error = within(running.ended()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
    assert!(matches!(running.health(), Health::Ended { error: Some(_) }));
}

#[tokio::test]
async fn a_run_whose_table_was_dropped_is_degraded() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    temporary
        .connect()
        .execute_batch("DROP TABLE outbox_events")
        .unwrap();
    let health = within(running.health_changed(Health::Healthy)).await;
    let [trouble] = health.troubles() else {
        panic!("{health:?}");
    };
    assert!(trouble.last_error.contains("outbox_events"), "{trouble:?}");
    running.stop().await.unwrap();
}

#[test]
fn a_run_ends_with_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(async { start(&MemoryStore::new()).1 });
    drop(runtime);
    assert!(matches!(running.health(), Health::Ended { error: Some(_) }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(running.ended()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
}

#[test]
fn a_run_goes_on_until_its_last_handle_is_gone() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let other = running.clone();
        drop(running);
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(other.flush(1, SOON).await.unwrap().is_delivered());
        let ended = tokio::spawn(other.ended());
        drop(other);
        within(ended).await.unwrap().unwrap();
    });
}

#[test]
fn a_detached_run_needs_no_handle() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        running.detach();
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
    });
}

#[test]
fn a_handle_dropped_at_once_is_logged() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (log, _guard) = Log::of_this_thread();
        drop(start(&MemoryStore::new()));
        assert!(log.text().contains("before it began"), "{}", log.text());
        let (log, _guard) = Log::of_this_thread();
        let (mut remote, running) = start(&MemoryStore::new());
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
        assert!(!log.text().contains("before it began"), "{}", log.text());
    });
}

#[test]
fn an_explanation_never_claims_more_than_is_known() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, |builder| builder.max_concurrency(1));
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let explanation = running.explain(2).await.unwrap();
        assert_eq!(explanation.waits_for, WaitsFor::FreeHandler);
        let of_store = store.explain(&2.into(), None).await.unwrap();
        assert_eq!(of_store.waits_for, WaitsFor::Worker);
        assert!(of_store.to_string().contains("does not know"), "{of_store}");
        call.fail(HandlerError::offline());
        // The second failure shows whether the first one was only the event's fault.
        remote.next().await.fail(HandlerError::offline());
        within(async {
            while !matches!(
                running.explain(2).await.unwrap().waits_for,
                WaitsFor::Outage(_)
            ) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let of_store = store.explain(&2.into(), None).await.unwrap();
        assert_eq!(
            of_store.waits_for,
            WaitsFor::Worker,
            "the explanation claims more than is known"
        );
        // The refusal is in the store as soon as the outcome is recorded.
        within(async {
            loop {
                let of_store = store.explain(&2.into(), None).await.unwrap().to_string();
                if of_store.contains("; last refused: offline: ") {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_recovering_service_is_named_while_it_gets_few_attempts() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        for id in 1..=4 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        for _ in 1..=4 {
            remote.next().await.fail(HandlerError::unavailable("503"));
        }
        let probe_at = within(async {
            loop {
                if let WaitsFor::Outage(outage) = running.explain(1).await.unwrap().waits_for {
                    return outage.probe_at;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(clock.until_asleep(probe_at)).await;
        clock.set(probe_at);
        // The probe passes, and the circuit is half-open: the next attempts are under way.
        remote.next().await.ok();
        let mut under_way = vec![remote.next().await];
        let waiting = within(async {
            loop {
                for id in 1..=4 {
                    let waits_for = running.explain(id).await.unwrap().waits_for;
                    assert_ne!(waits_for, WaitsFor::Worker, "the run knows more of {id}");
                    if let WaitsFor::Recovery(extent) = waits_for {
                        return (id, extent);
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(waiting.1, OutageExtent::HandlerSet);
        let explanation = running.explain(waiting.0).await.unwrap();
        assert!(explanation.to_string().contains("recover"), "{explanation}");
        for call in under_way.drain(..) {
            call.ok();
        }
        running.stop().await.unwrap();
    });
}

/// Whatever other commands a run receives meanwhile.
#[test]
fn no_wake_up_is_lost_to_other_commands() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::offline());
        within(clock.until_asleep(clock.now() + Duration::from_secs(1))).await;
        for user in 0..100 {
            // One thread: the run cannot process anything in between.
            let mut told = Box::pin(running.sign_in(format!("other-{user}")));
            tokio::select! { biased; () = &mut told => {}, () = std::future::ready(()) => {} }
        }
        running.online();
        running.trigger();
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

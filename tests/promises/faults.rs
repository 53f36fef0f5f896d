//! The fault store: fails as instructed, counts its faults, and otherwise behaves like the wrapped
//! store.

use std::time::Duration;

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{Clock, StoreErrorKind, prelude::*};
use outbox_testing::{Fault, FaultRates, FaultStore, ManualClock, SeededRng, StoreCall};
use outbox_tests::{enqueue, note, on_each_store, within};

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Without faults it keeps the contract, whatever store it wraps.
mod healthy {
    use outbox_runtime::MemoryStore;
    use outbox_testing::{FaultStore, ManualClock, conformance};

    async fn make_store(clock: ManualClock) -> (FaultStore, ()) {
        (FaultStore::new(MemoryStore::with_clock(clock)), ())
    }

    conformance!(make_store);
}

#[test]
fn a_call_that_fails_does_nothing() {
    on_each_store(|store, _| async move {
        let faulty = FaultStore::new(store.clone());
        let full = Fault::Fail(StoreErrorKind::StorageFull);
        faulty.fail_next(StoreCall::CreateEvent, full);
        let event = note(1).enqueue_sync().into_event().unwrap();
        let error = faulty.create_event(event.clone()).await.unwrap_err();
        assert!(!error.outcome_unknown());
        assert_eq!(
            error.to_string(),
            "create_event: an injected fault",
            "the error names the operation"
        );
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
        faulty.create_event(event).await.unwrap();
        assert_eq!(faulty.injected().total(), 1);
    });
}

#[test]
fn a_call_that_fails_after_the_commit_reports_an_unknown_outcome() {
    on_each_store(|store, _| async move {
        let faulty = FaultStore::new(store.clone());
        let event = enqueue(&faulty, note(1).enqueue_sync()).await;
        faulty.fail_next(StoreCall::Claim, Fault::FailAfterCommit);
        let request = ClaimRequest::new(1, LEASE);
        let error = faulty.claim(&request).await.unwrap_err();
        assert!(error.outcome_unknown() && error.is_transient());
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.status, OutboxStatus::Processing);
        assert_eq!(faulty.injected().failures_after_commit, 1);
    });
}

#[test]
fn a_delay_is_before_the_call_or_after_it() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        enqueue(&faulty, note(1).enqueue_sync()).await;
        for (fault, done_meanwhile) in [
            (Fault::Delay(SECOND), false),
            (Fault::DelayAnswer(SECOND), true),
        ] {
            faulty.fail_next(StoreCall::DeleteEvent, fault);
            let event = enqueue(&faulty, note(2).enqueue_sync()).await;
            let until = clock.now() + SECOND;
            let call = faulty.delete_event(event.id);
            let meanwhile = async {
                within(clock.until_asleep(until)).await;
                let there = store.fetch_event(event.id).await.unwrap().is_some();
                clock.set(until);
                there
            };
            let (deleted, there) = tokio::join!(call, meanwhile);
            assert!(deleted.unwrap());
            assert_eq!(there, !done_meanwhile);
        }
        let injected = faulty.injected();
        assert_eq!((injected.delays, injected.delayed_answers), (1, 1));
    });
}

#[test]
fn a_stale_listing_repeats_the_previous_one_and_only_listings_are_stale() {
    on_each_store(|store, _| async move {
        let faulty = FaultStore::new(store.clone());
        let event = enqueue(&faulty, note(1).enqueue_sync()).await;
        let before = faulty.fetch_event(event.id).await.unwrap();
        let claim = faulty.mark_as_processing(event.id, LEASE).await.unwrap();
        faulty.fail_next(StoreCall::FetchEvent, Fault::Stale);
        assert_eq!(faulty.fetch_event(event.id).await.unwrap(), before);
        assert_eq!(
            faulty.fetch_event(event.id).await.unwrap(),
            Some(claim.event)
        );
        faulty.fail_next(StoreCall::Rescue, Fault::Stale);
        let _ = faulty.rescue().await.unwrap();
        assert_eq!(faulty.injected().stale, 1, "only injected faults count");
    });
}

#[test]
fn a_rescue_is_forwarded_to_the_store_and_meets_faults() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        for id in 1..=3 {
            enqueue(&faulty, note(id).enqueue_sync()).await;
        }
        let claims = faulty.claim(&ClaimRequest::new(3, LEASE)).await.unwrap();
        clock.advance(LEASE);
        let (held, only) = ([(claims[0].lease, LEASE)], [claims[1].lease]);
        faulty.fail_next(
            StoreCall::RescueOthers,
            Fault::Fail(StoreErrorKind::Unavailable),
        );
        let failed = faulty.rescue_others(&held, Some(&only)).await;
        assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Unavailable);
        // Forwarded to the wrapped store; the trait's default method would take nothing back.
        let (renewed, rescued) = faulty.rescue_others(&held, Some(&only)).await.unwrap();
        assert!(renewed[0].is_some_and(|lease| lease.expires_at == clock.now() + LEASE));
        assert_eq!(rescued.requeued, 1);
        let left = store
            .fetch_events(OutboxStatus::Processing, None, None)
            .await;
        let left: Vec<_> = left.unwrap().iter().map(|event| event.id).collect();
        assert_eq!(left, [claims[0].event.id, claims[2].event.id]);
    });
}

#[tokio::test(flavor = "current_thread")]
async fn the_same_seed_injects_the_same_faults_until_healed() {
    let course = |seed| async move {
        let rates = FaultRates::default()
            .with_failures(200)
            .with_failures_after_commit(200);
        let store = FaultStore::new(MemoryStore::with_clock(ManualClock::new()))
            .with_chance(rates, SeededRng::new(seed));
        let mut course = Vec::new();
        for id in 0..50 {
            let event = note(id).enqueue_sync().into_event().unwrap();
            course.push(match store.create_event(event).await {
                Ok(_) => 0,
                Err(error) if error.outcome_unknown() => 1,
                Err(_) => 2,
            });
        }
        let injected = store.injected();
        store.heal();
        enqueue(&store, note(99).enqueue_sync()).await;
        assert_eq!(store.injected(), injected, "healed");
        for (kind, count) in [(1, injected.failures_after_commit), (2, injected.failures)] {
            assert!(count > 0);
            assert_eq!(
                course.iter().filter(|met| **met == kind).count(),
                count as usize
            );
        }
        course
    };
    assert_eq!(course(7).await, course(7).await);
    assert_ne!(course(7).await, course(8).await);
}

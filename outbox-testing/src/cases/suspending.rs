//! Suspending a store, and the clock that a store uses.

use super::helpers::{LEASE, SECOND, Store, claim, claim_one, complete, create, event, fetch};
use crate::ManualClock;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{Cancel, Clock, EnqueueError, OutboxStatus, StoreErrorKind};

pub(super) async fn a_suspended_store_refuses_every_call_until_resumed(
    store: Store<'_>,
    _: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    store.suspend().await.unwrap();
    store.suspend().await.unwrap();

    let refused = store.create_event(event(2)).await.unwrap_err();
    let EnqueueError::Store(refused) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.kind(), StoreErrorKind::Suspended);
    let request = ClaimRequest::new(9, LEASE);
    let settlements = || {
        vec![Settlement {
            lease: claimed.lease,
            disposition: Disposition::Complete,
        }]
    };
    let exchange = store.settle_and_claim(settlements(), &request).await;
    let refusals = [
        store.fetch_event(created.id).await.unwrap_err(),
        store.statistics(None).await.unwrap_err(),
        store.claim(&request).await.unwrap_err(),
        store.settle(settlements()).await.unwrap_err(),
        exchange.settled.unwrap_err(),
        store.extend(&[claimed.lease], LEASE).await.unwrap_err(),
        store.rescue().await.unwrap_err(),
        store.next_due(&request).await.unwrap_err(),
        store.delete_event(created.id).await.unwrap_err(),
        store.cancel(&Cancel::entity("u1", 1)).await.unwrap_err(),
    ];
    // If the store combines both, only one of the two results carries the error.
    assert!(exchange.claimed.unwrap_or_default().is_empty());
    for refused in refusals {
        assert_eq!(refused.kind(), StoreErrorKind::Suspended, "{refused}");
    }

    store.resume().await.unwrap();
    assert_eq!(fetch(store, &created).await, claimed.event);
    complete(store, &claimed).await;
    create(store, event(2)).await;
    assert_eq!(claim(store, 9).await.len(), 1);
}

pub(super) async fn resuming_a_store_that_is_not_suspended_changes_nothing(
    store: Store<'_>,
    _: &ManualClock,
) {
    let created = create(store, event(1)).await;
    store.resume().await.unwrap();
    assert_eq!(fetch(store, &created).await, created);
    assert_eq!(created.status, OutboxStatus::Pending);
}

pub(super) async fn a_store_exposes_the_clock_of_its_due_times_and_leases(
    store: Store<'_>,
    clock: &ManualClock,
) {
    assert_eq!(store.clock().now(), clock.now());
    clock.advance(SECOND);
    let told = store.clock();
    assert_eq!(told.now(), clock.now());
    let created = create(store, event(1)).await;
    assert_eq!(created.created_at, told.now());
    let claimed = claim_one(store).await;
    assert_eq!(
        claimed.lease.expires_at - told.now(),
        chrono::TimeDelta::seconds(60)
    );
    // A task that sleeps on the clock wakes when the store has something due.
    let due = claimed.lease.expires_at;
    let (_, ()) = tokio::join!(told.sleep_until(due), async {
        clock.until_asleep(due).await;
        clock.set(due);
    });
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
}

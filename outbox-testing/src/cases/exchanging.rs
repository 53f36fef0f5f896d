//! Outcomes and the next claim in one request, as the processor sends them.

use super::helpers::{LEASE, Store, claim, claim_one, create, entities, event, fetch};
use crate::ManualClock;
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, LeaseToken, Settled, Settlement};
use outbox_runtime::{NewEvent, Operation, OutboxStatus};

fn completed(claim: &Claim) -> Settlement {
    Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    }
}

/// An outcome whose lease token is not the claim's.
fn under_another_lease(claim: &Claim) -> Settlement {
    let mut settlement = completed(claim);
    settlement.lease.token = LeaseToken::random();
    settlement
}

pub(super) async fn an_exchange_settles_before_it_claims(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    let request = ClaimRequest::new(9, LEASE);
    let exchange = store
        .settle_and_claim(vec![completed(&claimed)], &request)
        .await;
    assert_eq!(exchange.settled.unwrap(), [Settled::Recorded]);
    let claimed = exchange.claimed.unwrap();
    assert_eq!(claimed.len(), 1, "the event that the outcome unblocks");
    assert_eq!(claimed[0].event, fetch(store, &second).await);
    assert_eq!(claimed[0].event.attempt_count, 1);
    assert_eq!(fetch(store, &first).await.status, OutboxStatus::Completed);
}

pub(super) async fn an_exchange_without_outcomes_claims(store: Store<'_>, _: &ManualClock) {
    let request = ClaimRequest::new(2, LEASE);
    let exchange = store.settle_and_claim(Vec::new(), &request).await;
    assert_eq!(exchange.settled.unwrap(), []);
    assert!(exchange.claimed.unwrap().is_empty());
    for entity in 1..=3 {
        create(store, event(entity)).await;
    }
    let exchange = store.settle_and_claim(Vec::new(), &request).await;
    assert_eq!(exchange.settled.unwrap(), []);
    assert_eq!(entities(&exchange.claimed.unwrap()), [1, 2]);
}

pub(super) async fn an_exchange_claims_only_requested_events(store: Store<'_>, _: &ManualClock) {
    create(store, event(1)).await;
    create(store, NewEvent::new("note", 2, "u2", Operation::Update)).await;
    let claims = claim(store, 1).await;
    create(store, event(3)).await;
    let request = ClaimRequest::new(9, LEASE).with_user("u2");
    let exchange = store
        .settle_and_claim(vec![completed(&claims[0])], &request)
        .await;
    assert_eq!(exchange.settled.unwrap(), [Settled::Recorded]);
    assert_eq!(entities(&exchange.claimed.unwrap()), [2]);
    let nothing = ClaimRequest::new(0, LEASE);
    let exchange = store.settle_and_claim(Vec::new(), &nothing).await;
    assert!(exchange.claimed.unwrap().is_empty());
}

pub(super) async fn an_exchange_returns_results_in_the_order_of_its_outcomes(
    store: Store<'_>,
    _: &ManualClock,
) {
    for entity in 1..=3 {
        create(store, event(entity)).await;
    }
    let claims = claim(store, 3).await;
    create(store, event(4)).await;
    let outcomes = vec![
        under_another_lease(&claims[2]),
        completed(&claims[1]),
        completed(&claims[0]),
    ];
    let request = ClaimRequest::new(9, LEASE);
    let exchange = store.settle_and_claim(outcomes, &request).await;
    let answers = [Settled::LeaseLost, Settled::Recorded, Settled::Recorded];
    assert_eq!(exchange.settled.unwrap(), answers);
    assert_eq!(entities(&exchange.claimed.unwrap()), [4]);
    let kept = fetch(store, &claims[2].event).await;
    assert_eq!(kept.status, OutboxStatus::Processing);
}

pub(super) async fn settle_returns_results_in_the_order_of_its_outcomes(
    store: Store<'_>,
    _: &ManualClock,
) {
    for entity in 1..=3 {
        create(store, event(entity)).await;
    }
    let claims = claim(store, 3).await;
    let outcomes = vec![
        completed(&claims[2]),
        under_another_lease(&claims[0]),
        under_another_lease(&claims[1]),
    ];
    let answers = [Settled::Recorded, Settled::LeaseLost, Settled::LeaseLost];
    assert_eq!(store.settle(outcomes).await.unwrap(), answers);
    let left = fetch(store, &claims[1].event).await;
    assert_eq!(left.status, OutboxStatus::Processing);
    assert_eq!(store.settle(Vec::new()).await.unwrap(), []);
}

//! Claims leave out the looks for elders and parents until one of them is met. They lease the same
//! events as with the looks.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{new_schema, open_in};
use outbox_runtime::store::{
    BatchSink as _, Claim, ClaimRequest, Disposition, OutboxQueue as _, Settlement,
};
use outbox_runtime::{NewEvent, Operation, Order, OutboxRepository as _};

const LEASE: Duration = Duration::from_secs(60);

fn note(id: i64) -> NewEvent {
    NewEvent::new("note", id, "u1", Operation::Update)
}

async fn enqueue(store: &PostgresStore, events: Vec<NewEvent>) {
    let events = events.into_iter().map(Ok);
    store.enqueue_all(events).await.unwrap();
}

async fn claim(store: &PostgresStore, request: &ClaimRequest) -> Vec<Claim> {
    store.claim(request).await.unwrap()
}

/// Completes these events and claims.
async fn go_on(store: &PostgresStore, claims: &[Claim], request: &ClaimRequest) -> Vec<Claim> {
    let completed = claims.iter().map(|claim| Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    });
    let exchange = store.settle_and_claim(completed.collect(), request).await;
    exchange.settled.unwrap();
    exchange.claimed.unwrap()
}

fn of(claims: &[Claim]) -> Vec<(String, i64)> {
    let of = |claim: &Claim| {
        let event = &claim.event;
        (
            event.event_type.clone(),
            event.entity_id.as_integer().unwrap(),
        )
    };
    claims.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_elders_hold_back_younger_events_of_another_store() {
    let schema = new_schema();
    let (worker, other) = (open_in(&schema).await, open_in(&schema).await);
    let request = ClaimRequest::new(50, LEASE);
    enqueue(&other, (0..50).map(note).collect()).await;
    let claims = claim(&worker, &request).await;
    assert_eq!(claims.len(), 50);
    // Of the two orders, each is once the elder.
    let of_user = |id| note(id).with_order(Order::User);
    let events = vec![note(100), of_user(100), of_user(101), note(101)];
    enqueue(&other, events).await;
    let first = go_on(&worker, &claims, &request).await;
    assert_eq!(of(&first), [("note".to_owned(), 100)]);
    let second = go_on(&worker, &first, &request).await;
    assert_eq!(of(&second), [("note".to_owned(), 100)]);
    let third = go_on(&worker, &second, &request).await;
    assert_eq!(of(&third), [("note".to_owned(), 101)]);
    let fourth = go_on(&worker, &third, &request).await;
    assert_eq!(of(&fourth), [("note".to_owned(), 101)]);
    assert_eq!(go_on(&worker, &fourth, &request).await, []);
    assert_eq!(worker.statistics(None).await.unwrap().completed_count, 54);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_meets_the_first_parent_goes_to_its_child() {
    let schema = new_schema();
    let (worker, other) = (open_in(&schema).await, open_in(&schema).await);
    let request = ClaimRequest::new(8, LEASE).with_turns(2, "u1");
    // More urgent than the other user's events, so that only turns meet these.
    let urgent = (0..100).map(|id| note(id).with_priority(90));
    enqueue(&other, urgent.collect()).await;
    let mut claims = claim(&worker, &request).await;
    let journal = NewEvent::new("journal", 1, "u2", Operation::Create);
    let page = NewEvent::new("page", 2, "u2", Operation::Create).with_after("journal", 1);
    enqueue(
        &other,
        vec![journal.with_priority(1), page.with_priority(1)],
    )
    .await;
    let of_other = |claims: &[Claim]| {
        let mut of = of(claims);
        of.retain(|(of_type, _)| of_type != "note");
        of
    };
    claims = go_on(&worker, &claims, &request).await;
    assert_eq!(of_other(&claims), [("journal".to_owned(), 1)]);
    // The journal is with its handler.
    let meanwhile = claim(&worker, &request).await;
    assert_eq!(of_other(&meanwhile), []);
    claims.extend(meanwhile);
    let claims = go_on(&worker, &claims, &request).await;
    assert_eq!(of_other(&claims), [("page".to_owned(), 2)]);
}

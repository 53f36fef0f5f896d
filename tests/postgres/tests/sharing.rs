//! Users share a claim, however large the events of one of them are.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres_tests::open;
use outbox_runtime::store::{ClaimRequest, OutboxQueue};
use outbox_runtime::{NewEvent, Operation, OutboxRepository, RawMetadata};

#[tokio::test(flavor = "multi_thread")]
async fn large_events_leave_the_turns_their_share() {
    let store = open(|builder| builder).await;
    let text = format!("\"{}\"", "x".repeat(NewEvent::MAX_METADATA_BYTES - 2));
    // Fewer than the places in order, but more metadata than a claim returns.
    for entity in 0..17 {
        let large = NewEvent::new("note", entity, "b", Operation::Update)
            .with_priority(9)
            .with_metadata(RawMetadata::from_bytes(text.clone()));
        store.create_event(large).await.unwrap();
    }
    let small = NewEvent::new("note", 99, "z", Operation::Update);
    store.create_event(small).await.unwrap();
    let request = ClaimRequest::new(40, Duration::from_secs(60)).with_turns(20, "b");
    let claims = store.claim(&request).await.unwrap();
    assert!(claims.iter().any(|claim| claim.event.user_id == "z"));
}

/// The urgent events of one user are small, those of four others so large that a few of them fill
/// what a claim returns, and two more have small ones.
#[tokio::test(flavor = "multi_thread")]
async fn large_events_of_some_users_leave_others_their_turns() {
    const LARGE_USERS: [&str; 4] = ["b", "c", "d", "e"];
    let store = open(|builder| builder).await;
    let text = format!("\"{}\"", "x".repeat(NewEvent::MAX_METADATA_BYTES - 2));
    for entity in 0..500 {
        let urgent = NewEvent::new("note", entity, "a", Operation::Update).with_priority(9);
        store.create_event(urgent).await.unwrap();
    }
    for (user, number) in LARGE_USERS
        .into_iter()
        .flat_map(|user| [0, 1, 2].map(|n| (user, n)))
    {
        let large = NewEvent::new("note", number, user, Operation::Update)
            .with_metadata(RawMetadata::from_bytes(text.clone()));
        store.create_event(large).await.unwrap();
    }
    for user in ["f", "g"] {
        let small = NewEvent::new("note", 0, user, Operation::Update);
        store.create_event(small).await.unwrap();
    }
    let mut served = Vec::new();
    let mut last = String::new();
    for _ in 0..3 {
        let request = ClaimRequest::new(100, Duration::from_secs(60)).with_turns(25, &last);
        let claims = store.claim(&request).await.unwrap();
        served.extend(claims.iter().map(|claim| claim.event.user_id.clone()));
        last = served.last().cloned().unwrap_or_default();
    }
    for user in ["f", "g"] {
        assert!(
            served.iter().any(|served| served == user),
            "{user} has no turn: {served:?}"
        );
    }
}

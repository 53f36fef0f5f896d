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

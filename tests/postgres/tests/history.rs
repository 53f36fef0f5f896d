//! Deliveries are in the history of an event only if the store keeps them.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres_tests::open;
use outbox_runtime::store::{ClaimRequest, OutboxQueue};
use outbox_runtime::{AttemptOutcome, NewEvent, Operation, OutboxRepository};

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_in_the_history_only_if_the_store_keeps_them() {
    let plain = open(|builder| builder).await;
    let keeping = open(outbox_postgres::PostgresStoreBuilder::history_of_deliveries).await;
    for (store, expected) in [
        (plain, vec![AttemptOutcome::Failed]),
        (
            keeping,
            vec![AttemptOutcome::Failed, AttemptOutcome::Delivered],
        ),
    ] {
        let event = NewEvent::new("note", 1, "u1", Operation::Create);
        let event = store.create_event(event).await.unwrap();
        let request = ClaimRequest::new(1, Duration::from_secs(60));
        let first = store.claim(&request).await.unwrap();
        store
            .mark_as_failed(&first[0].lease, "HTTP 500")
            .await
            .unwrap();
        store.reset_for_retry(&[event.id]).await.unwrap();
        let second = store.claim(&request).await.unwrap();
        store.mark_as_completed(&second[0].lease).await.unwrap();
        let attempts = store.attempts(event.id).await.unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, expected);
        assert_eq!(attempts[0].message.as_deref(), Some("HTTP 500"));
    }
}

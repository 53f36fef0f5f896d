//! Events that end while an application holds the next one of their lane locked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{connect, open, soon};
use outbox_runtime::store::{
    BatchSink, CheckDepth, Claim, ClaimRequest, Completion, Disposition, OutboxQueue, Settled,
    Settlement, Severity, SystemClock,
};
use outbox_runtime::{Clock, NewEvent, Operation, OutboxRepository};

const LEASE: Duration = Duration::from_secs(60);

/// A store with a claimed event, one that is blocked behind it, and a connection of the
/// application.
async fn scene() -> (PostgresStore, Claim, Client) {
    let store = open(|store| store).await;
    let event = || NewEvent::new("note", 1, "u1", Operation::Update);
    let both = [Ok(event()), Ok(event())].into_iter();
    (&store).enqueue_all(both).await.unwrap();
    let claimed = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    let claimed = claimed.into_iter().next().unwrap();
    (store, claimed, connect().await)
}

async fn settle(store: &PostgresStore, claim: &Claim, disposition: Disposition) -> Settled {
    let settlement = Settlement {
        lease: claim.lease,
        disposition,
    };
    store.settle(vec![settlement]).await.unwrap()[0]
}

/// Claims until the next event of the lane is there.
async fn claim_next(store: &PostgresStore) -> Claim {
    soon("the next event", async {
        loop {
            let claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
            if let Some(claim) = claims.into_iter().next() {
                return claim;
            }
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

fn lock(store: &PostgresStore) -> String {
    let schema = store.schema();
    format!("SELECT 1 FROM {schema}.events WHERE slot = 'b' FOR UPDATE")
}

#[tokio::test]
async fn an_event_that_is_not_kept_is_gone_once_its_successor_is_unblocked() {
    for disposition in [Disposition::Remove, Disposition::Drop] {
        let (store, claimed, mut client) = scene().await;
        let tx = client.transaction().await.unwrap();
        assert_eq!(tx.execute(&lock(&store), &[]).await.unwrap(), 1);
        let settled = soon("the outcome", settle(&store, &claimed, disposition)).await;
        assert_eq!(settled, Settled::Recorded);
        tx.rollback().await.unwrap();
        let next = claim_next(&store).await;
        let front = store.fetch_event(claimed.event.id).await.unwrap();
        assert_eq!(front, None);
        assert_eq!(
            settle(&store, &next, Disposition::Complete).await,
            Settled::Recorded
        );
        let findings = store.check(CheckDepth::Full).await.unwrap();
        let wrong: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Fault)
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_event_that_its_handler_completed_is_gone_once_its_successor_is_unblocked() {
    let (store, claimed, mut client) = scene().await;
    let completion = Completion::new(claimed.lease).not_kept();
    store.complete_event(completion, None).await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert_eq!(tx.execute(&lock(&store), &[]).await.unwrap(), 1);
    let answer = soon(
        "the answer",
        settle(&store, &claimed, Disposition::Complete),
    );
    assert_eq!(answer.await, Settled::AlreadyCompleted);
    tx.rollback().await.unwrap();
    let _next = claim_next(&store).await;
    let front = store.fetch_event(claimed.event.id).await.unwrap();
    assert_eq!(front, None);
}

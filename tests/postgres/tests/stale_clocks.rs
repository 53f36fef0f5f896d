//! Statements that arrive late: the worker that sent them stood still, or its network was slow
//! (F39).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::chaos::pause;
use outbox_postgres_tests::chaos::proxy::Proxy;
use outbox_postgres_tests::{Server, config, new_schema};
use outbox_runtime::store::{ClaimRequest, OutboxQueue};
use outbox_runtime::{EventSink, NewEvent, Operation, OutboxRepository};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescue_that_arrives_late_leaves_the_leases_taken_meanwhile_alone() {
    let proxy = Proxy::before(Server::shared().port()).await;
    let schema = new_schema();
    let builder = || PostgresStore::builder().schema(&schema).wake_ups(false);
    let slow = builder().connect(&proxy.address()).await.unwrap();
    let store = builder().connect_with(config()).await.unwrap();
    let event = NewEvent::new("note", 1, "u1", Operation::Update);
    (&store).enqueue(Ok(event)).await.unwrap();
    proxy.delay(600);
    let rescuing = tokio::spawn(async move { slow.rescue().await });
    pause(300).await;
    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let claim = store.claim(&request).await.unwrap().remove(0);
    let rescued = rescuing.await.unwrap().unwrap();
    assert_eq!(rescued, outbox_runtime::store::Rescued::default());
    let event = store.fetch_event(claim.event.id).await.unwrap().unwrap();
    assert_eq!(event.lease_expires_at, Some(claim.lease.expires_at));
}

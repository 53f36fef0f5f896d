//! Commits that took effect and whose answer did not arrive (F74): the caller is told that the
//! outcome is unknown, and the same id again finds the event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Config, NoTls};
use outbox_postgres_tests::chaos::proxy::Proxy;
use outbox_postgres_tests::{Server, config, new_schema};
use outbox_runtime::store::{ClaimRequest, Disposition, OutboxQueue, Settlement};
use outbox_runtime::{
    EnqueueError, Enqueued, EventSink, NewEvent, Operation, OutboxRepository, OutboxStatus,
};

/// The last words of a session, also right after a commit.
fn last_words(code: &str, text: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").into_bytes();
    let length = u32::try_from(fields.len() + 4).unwrap();
    [&b"E"[..], &length.to_be_bytes(), &fields].concat()
}

async fn open(schema: &str, address: &str) -> PostgresStore {
    let builder = PostgresStore::builder().schema(schema).pool_size(1);
    // Its listener would ask for its own answers.
    let builder = builder.wake_ups(false);
    builder.connect(address).await.unwrap()
}

fn note() -> NewEvent {
    NewEvent::new("note", 1, "u1", Operation::Update)
}

fn is_unknown(error: &EnqueueError) -> bool {
    matches!(error, EnqueueError::Store(error) if error.outcome_unknown() && error.is_transient())
}

/// A lost connection, one that an administrator ends, and one that ends for want of disk space.
async fn proxies() -> [Proxy; 3] {
    let port = Server::shared().port();
    let ended = "terminating connection due to administrator command";
    let ended = last_words("57P01", ended);
    let failed = last_words("XX000", "could not write init file");
    [
        Proxy::before(port).await,
        Proxy::with_last_words(port, ended).await,
        Proxy::with_last_words(port, failed).await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_of_the_store_is_told_that_the_outcome_is_unknown() {
    for proxy in proxies().await {
        let schema = new_schema();
        let store = open(&schema, &proxy.address()).await;
        proxy.lose_answers(1);
        let event = note();
        let lost = (&store).enqueue(Ok(event.clone())).await.unwrap_err();
        assert_eq!(proxy.struck().unanswered.load(Ordering::SeqCst), 1);
        assert!(is_unknown(&lost), "{lost:?}");
        let again = (&store).enqueue(Ok(event.clone())).await.unwrap();
        assert_eq!(again, Enqueued::AlreadyThere(event.id()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_enqueues_without_a_transaction_is_told_so_too() {
    for proxy in proxies().await {
        let schema = new_schema();
        let direct = PostgresStore::builder().schema(&schema);
        let store = direct.connect_with(config()).await.unwrap();
        let settings: Config = proxy.address().parse().unwrap();
        let (client, connection) = settings.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        proxy.lose_answers(1);
        let event = note();
        let enqueued = store.outbox().on(&client).enqueue(Ok(event.clone())).await;
        let lost = enqueued.unwrap_err();
        assert_eq!(proxy.struck().unanswered.load(Ordering::SeqCst), 1);
        assert!(is_unknown(&lost), "{lost:?}");
        assert!(store.fetch_event(event.id()).await.unwrap().is_some());
        let _ = connection.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_answer_is_lost_is_recorded_once() {
    for proxy in proxies().await {
        let schema = new_schema();
        let store = open(&schema, &proxy.address()).await;
        let event = note();
        (&store).enqueue(Ok(event.clone())).await.unwrap();
        let request = ClaimRequest::new(1, Duration::from_secs(60));
        let claim = store.claim(&request).await.unwrap().remove(0);
        let settlement = Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        };
        proxy.lose_answers(1);
        // The caller asks again, as the processor does.
        let mut tries = 0;
        while let Err(error) = store.settle(vec![settlement.clone()]).await {
            assert!(error.is_transient() && tries < 5, "{error:?}");
            tries += 1;
        }
        assert_eq!(proxy.struck().unanswered.load(Ordering::SeqCst), 1);
        let stored = store.fetch_event(event.id()).await.unwrap().unwrap();
        assert_eq!(stored.status, OutboxStatus::Completed);
        assert!(store.claim(&request).await.unwrap().is_empty());
    }
}

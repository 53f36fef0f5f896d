//! Transactions of sqlx on PostgreSQL keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::time::Duration;

use async_trait::async_trait;
use outbox_postgres::tokio_postgres::config::Host;
use outbox_postgres::{Outbox, PostgresStore, PostgresValue};
use outbox_postgres_tests::{config, open};
use outbox_runtime::store::{BoxError, ClaimRequest, OutboxQueue};
use outbox_runtime::{
    Cancel, CompleteError, EnqueueError, EventSink, NewEvent, Operation, OutboxEntity, OutboxEvent,
    OutboxRepository, OutboxStatus, StoreErrorKind,
};
use outbox_sqlx::in_outbox;
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Acquire, PgPool, Postgres, Transaction};

struct OnTransaction {
    pool: PgPool,
    outbox: Outbox,
}

#[async_trait(?Send)]
impl SinkUnderTest for OnTransaction {
    async fn begin<'t>(
        &'t mut self,
        _to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        Ok(Box::new(Open {
            tx: self.pool.begin().await?,
            outbox: &self.outbox,
        }))
    }
}

struct Open<'c> {
    tx: Transaction<'c, Postgres>,
    outbox: &'c Outbox,
}

sink_transaction! { async Open<'_>:
    sink |this| in_outbox(this.outbox, &mut this.tx);
    read |this| drop(sqlx::query("SELECT 1 FROM pg_class LIMIT 1").fetch_one(&mut *this.tx).await?);
    savepoint |this| Open { tx: this.tx.begin().await?, outbox: this.outbox };
    end |this, commits| if commits { this.tx.commit().await? } else { this.tx.rollback().await? };
}

async fn pool() -> PgPool {
    let config = config();
    let options = PgConnectOptions::new_without_pgpass()
        .port(config.get_ports()[0])
        .username(config.get_user().unwrap())
        .database(config.get_dbname().unwrap_or("postgres"));
    let options = match &config.get_hosts()[0] {
        Host::Tcp(host) => options.host(host),
        Host::Unix(folder) => options.socket(folder),
    };
    let pool = PgPoolOptions::new().max_connections(3);
    pool.connect_with(options).await.unwrap()
}

async fn make() -> (OnTransaction, PostgresStore, ()) {
    let store = open(|store| store).await;
    let sink = OnTransaction {
        pool: pool().await,
        outbox: store.outbox(),
    };
    (sink, store, ())
}

sink_conformance!(make);

fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
}

#[derive(Debug, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn note(id: i64, user_id: &str) -> Note {
    let user_id = user_id.to_owned();
    Note { id, user_id }
}

async fn claimed(store: &PostgresStore) -> OutboxEvent {
    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let mut claims = store.claim(&request).await.unwrap();
    claims.remove(0).event
}

#[tokio::test]
async fn a_handler_completes_an_event_in_a_transaction_of_sqlx() {
    let (sink, store, ()) = make().await;
    let mut conn = sink.pool.acquire().await.unwrap();
    let there = in_outbox(&sink.outbox, &mut conn);
    there.enqueue(Ok(event(1))).await.unwrap();
    let event = claimed(&store).await;
    let mut tx = conn.begin().await.unwrap();
    event
        .complete_on(in_outbox(&sink.outbox, &mut tx))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    let status = |event: Option<OutboxEvent>| event.unwrap().status;
    let found = store.fetch_event(event.id).await.unwrap();
    assert_eq!(status(found), OutboxStatus::Processing);
    let mut tx = conn.begin().await.unwrap();
    event
        .complete_on(in_outbox(&sink.outbox, &mut tx))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let found = store.fetch_event(event.id).await.unwrap();
    assert_eq!(status(found), OutboxStatus::Completed);
}

#[tokio::test]
async fn an_event_is_completed_with_the_next_or_not_at_all() {
    let (sink, store, ()) = make().await;
    let mut conn = sink.pool.acquire().await.unwrap();
    in_outbox(&sink.outbox, &mut conn)
        .enqueue(Ok(event(1)))
        .await
        .unwrap();
    let first = claimed(&store).await;
    let refused = note(2, "").enqueue_create();
    let refused = first.supersede_on(in_outbox(&sink.outbox, &mut conn), refused);
    assert!(matches!(
        refused.await.unwrap_err(),
        CompleteError::Next {
            source: EnqueueError::Invalid { .. },
            ..
        }
    ));
    let found = store.fetch_event(first.id).await.unwrap();
    assert_eq!(found.unwrap().status, OutboxStatus::Processing);
    let next = note(2, "u1").enqueue_create();
    let next = first.supersede_on(in_outbox(&sink.outbox, &mut conn), next);
    next.await.unwrap();
    assert_eq!(claimed(&store).await.entity_id.as_integer(), Some(2));
    let lost = first.complete_on(in_outbox(&sink.outbox, &mut conn)).await;
    assert!(lost.is_ok(), "completing again changes nothing: {lost:?}");
}

#[tokio::test]
async fn a_database_without_an_outbox_is_named() {
    let pool = pool().await;
    let nowhere = Outbox::in_schema("nowhere").unwrap();
    let mut tx = pool.begin().await.unwrap();
    let refused = in_outbox(&nowhere, &mut tx).enqueue(Ok(event(1))).await;
    let Err(EnqueueError::Store(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::NotInstalled, "{error}");
}

#[tokio::test]
async fn keys_and_cancellations_take_the_isolation_level_read_committed() {
    let (sink, store, ()) = make().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    let mut tx = sink.pool.begin_with(begin).await.unwrap();
    let keyed = event(1).with_key("k");
    let refused = in_outbox(&sink.outbox, &mut tx).enqueue(Ok(keyed)).await;
    let Err(EnqueueError::Store(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::NotAllowedHere, "{error}");
    let refused = Cancel::key("u1", "k")
        .on(in_outbox(&sink.outbox, &mut tx))
        .await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::NotAllowedHere);
    // The transaction goes on.
    in_outbox(&sink.outbox, &mut tx)
        .enqueue(Ok(event(2)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claimed(&store).await.entity_id.as_integer(), Some(2));
}

#[test]
fn a_batch_takes_a_round_trip_for_each_event() {
    let events = (1..=3).map(|entity| Ok(event(entity)));
    let mut round_trips = 0;
    let enqueued = Outbox::default()
        .enqueue_all_step(events)
        .run_with(|statement| {
            round_trips += usize::from(statement.returns_rows());
            // Each was written.
            Ok(vec![vec![PostgresValue::Integer(Some(1))]])
        });
    assert_eq!((enqueued.unwrap().len(), round_trips), (3, 3));
}

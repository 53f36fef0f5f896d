//! Connections of diesel on PostgreSQL keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::time::Duration;

use async_trait::async_trait;
use diesel::connection::TransactionManager;
use diesel::prelude::*;
use outbox_diesel::in_outbox;
use outbox_postgres::tokio_postgres::config::Host;
use outbox_postgres::{Outbox, PostgresStore, PostgresValue};
use outbox_postgres_tests::{config, open};
use outbox_runtime::store::{BoxError, ClaimRequest, OutboxQueue};
use outbox_runtime::{
    Cancel, EnqueueError, EventSink, NewEvent, Operation, OutboxEvent, OutboxRepository,
    OutboxStatus, StoreErrorKind,
};
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};

type Transactions = <PgConnection as Connection>::TransactionManager;

struct OnConnection {
    conn: PgConnection,
    outbox: Outbox,
}

/// A transaction, or a savepoint in one.
struct Open<'c> {
    conn: &'c mut PgConnection,
    outbox: &'c Outbox,
}

impl<'c> Open<'c> {
    fn begin(conn: &'c mut PgConnection, outbox: &'c Outbox) -> Result<Self, BoxError> {
        Transactions::begin_transaction(conn)?;
        Ok(Self { conn, outbox })
    }

    fn end(self, commits: bool) -> QueryResult<()> {
        match commits {
            true => Transactions::commit_transaction(self.conn),
            false => Transactions::rollback_transaction(self.conn),
        }
    }
}

#[async_trait(?Send)]
impl SinkUnderTest for OnConnection {
    async fn begin<'t>(
        &'t mut self,
        _to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        Ok(Box::new(Open::begin(&mut self.conn, &self.outbox)?))
    }
}

sink_transaction! { sync Open<'_>:
    sink |this| in_outbox(this.outbox, this.conn);
    read |this| {
        diesel::sql_query("SELECT 1 FROM pg_class LIMIT 1").execute(this.conn)?;
    };
    savepoint |this| Open::begin(this.conn, this.outbox)?;
    end |this, commits| Open::end(this, commits)?;
}

fn connect() -> PgConnection {
    let config = config();
    let host = match &config.get_hosts()[0] {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let (port, user) = (config.get_ports()[0], config.get_user().unwrap());
    let database = config.get_dbname().unwrap_or("postgres");
    let url = format!("host={host} port={port} user={user} dbname={database}");
    PgConnection::establish(&url).unwrap()
}

async fn make() -> (OnConnection, PostgresStore, ()) {
    let store = open(|store| store).await;
    let sink = OnConnection {
        conn: connect(),
        outbox: store.outbox(),
    };
    (sink, store, ())
}

sink_conformance!(make);

fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
}

async fn claimed(store: &PostgresStore) -> OutboxEvent {
    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let mut claims = store.claim(&request).await.unwrap();
    claims.remove(0).event
}

#[tokio::test]
async fn a_handler_completes_an_event_in_a_transaction_of_diesel() {
    let (sink, store, ()) = make().await;
    let (mut conn, outbox) = (sink.conn, sink.outbox);
    in_outbox(&outbox, &mut conn).enqueue(Ok(event(1))).unwrap();
    let event = claimed(&store).await;
    let ended = conn.transaction(|conn| -> Result<(), BoxError> {
        event.complete_on(in_outbox(&outbox, conn))?;
        Err(diesel::result::Error::RollbackTransaction.into())
    });
    ended.unwrap_err();
    let found = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(found.status, OutboxStatus::Processing);
    event.complete_on(in_outbox(&outbox, &mut conn)).unwrap();
    let found = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(found.status, OutboxStatus::Completed);
}

#[tokio::test]
async fn keys_and_cancellations_take_the_isolation_level_read_committed() {
    let (sink, store, ()) = make().await;
    let (mut conn, outbox) = (sink.conn, sink.outbox);
    let mut transaction = conn.build_transaction().repeatable_read();
    let ended = transaction.run(|conn| -> Result<(), BoxError> {
        let refused = in_outbox(&outbox, conn).enqueue(Ok(event(1).with_key("k")));
        let Err(EnqueueError::Store(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), StoreErrorKind::NotAllowedHere, "{error}");
        let refused = Cancel::key("u1", "k").on(in_outbox(&outbox, conn));
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::NotAllowedHere);
        // The transaction goes on.
        in_outbox(&outbox, conn).enqueue(Ok(event(2)))?;
        Ok(())
    });
    ended.unwrap();
    assert_eq!(claimed(&store).await.entity_id.as_integer(), Some(2));
}

#[tokio::test]
async fn a_database_without_an_outbox_is_named() {
    let mut conn = connect();
    let nowhere = Outbox::in_schema("nowhere").unwrap();
    let refused = in_outbox(&nowhere, &mut conn).enqueue(Ok(event(1)));
    let Err(EnqueueError::Store(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::NotInstalled, "{error}");
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

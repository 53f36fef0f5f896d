//! Connections of diesel on PostgreSQL keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use outbox_diesel::in_outbox;
use outbox_postgres::tokio_postgres::config::Host;
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{config, open};
use outbox_runtime::store::{BatchSink, BoxError, ClaimRequest, OutboxQueue};
use outbox_runtime::{
    EnqueueError, EventSink, NewEvent, Operation, OutboxEvent, OutboxRepository, OutboxStatus,
    StoreErrorKind,
};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};

struct OnConnection {
    conn: PgConnection,
    elsewhere: Elsewhere,
}

/// The outbox on another connection.
struct Elsewhere {
    conn: PgConnection,
    outbox: Outbox,
}

fn run(
    conn: &mut PgConnection,
    elsewhere: &mut Elsewhere,
    steps: Vec<SinkStep>,
    answers: &mut Vec<SinkAnswer>,
) -> Result<(), BoxError> {
    for step in steps {
        let outbox = elsewhere.outbox.clone();
        match step {
            SinkStep::Enqueue(event) => {
                let answer = in_outbox(&outbox, conn).enqueue(Ok(event));
                answers.push(answer.map(|enqueued| vec![enqueued]));
            }
            SinkStep::EnqueueAll(events) => {
                let events = events.into_iter().map(Ok);
                answers.push(in_outbox(&outbox, conn).enqueue_all(events));
            }
            SinkStep::Read => {
                diesel::sql_query("SELECT 1 FROM pg_class LIMIT 1").execute(conn)?;
            }
            SinkStep::Elsewhere(event) => {
                in_outbox(&outbox, &mut elsewhere.conn).enqueue(Ok(event))?;
            }
            SinkStep::Savepoint { steps, is_kept } => {
                let ended = conn.transaction(|conn| -> Result<(), BoxError> {
                    run(conn, elsewhere, steps, answers)?;
                    end(is_kept)
                });
                expect_end(ended, is_kept)?;
            }
        }
    }
    Ok(())
}

/// diesel rolls back by an error of the closure.
fn end(is_kept: bool) -> Result<(), BoxError> {
    match is_kept {
        true => Ok(()),
        false => Err(diesel::result::Error::RollbackTransaction.into()),
    }
}

fn expect_end(ended: Result<(), BoxError>, is_kept: bool) -> Result<(), BoxError> {
    match ended {
        Err(error) if !is_kept && is_rollback(&error) => Ok(()),
        ended => ended,
    }
}

fn is_rollback(error: &BoxError) -> bool {
    let error = error.downcast_ref();
    matches!(error, Some(diesel::result::Error::RollbackTransaction))
}

#[async_trait]
impl SinkUnderTest for OnConnection {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let Self { conn, elsewhere } = self;
        let mut answers = Vec::new();
        let SinkScript { steps, commits, .. } = script;
        let ended = conn.transaction(|conn| -> Result<(), BoxError> {
            run(conn, elsewhere, steps, &mut answers)?;
            end(commits)
        });
        expect_end(ended, commits)?;
        Ok(answers)
    }

    fn takes_keys(&self) -> bool {
        false
    }
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
    let elsewhere = Elsewhere {
        conn: connect(),
        outbox: store.outbox(),
    };
    let conn = connect();
    (OnConnection { conn, elsewhere }, store, ())
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
    let (mut conn, outbox) = (sink.conn, sink.elsewhere.outbox);
    in_outbox(&outbox, &mut conn).enqueue(Ok(event(1))).unwrap();
    let event = claimed(&store).await;
    let ended = conn.transaction(|conn| {
        event.complete_on(in_outbox(&outbox, conn))?;
        end(false)
    });
    expect_end(ended, false).unwrap();
    let found = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(found.status, OutboxStatus::Processing);
    event.complete_on(in_outbox(&outbox, &mut conn)).unwrap();
    let found = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(found.status, OutboxStatus::Completed);
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

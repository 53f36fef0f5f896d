//! Connections of diesel keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::path::Path;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use outbox_diesel as _;
use outbox_runtime::prelude::*;
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{Cancel, EnqueueError, EventSink, StoreErrorKind, enqueue_all};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

struct OnConnection {
    conn: SqliteConnection,
    other: SqliteConnection,
}

fn run(
    conn: &mut SqliteConnection,
    other: &mut SqliteConnection,
    steps: Vec<SinkStep>,
    answers: &mut Vec<SinkAnswer>,
) -> Result<(), BoxError> {
    for step in steps {
        match step {
            SinkStep::Enqueue(event) => {
                let answer = (&mut *conn).enqueue(Ok(event));
                answers.push(answer.map(|enqueued| vec![enqueued]));
            }
            SinkStep::EnqueueAll(events) => {
                answers.push((&mut *conn).enqueue_all(events.into_iter().map(Ok)));
            }
            SinkStep::Read => {
                diesel::sql_query("SELECT count(*) FROM outbox_events").execute(conn)?;
            }
            SinkStep::Elsewhere(event) => drop((&mut *other).enqueue(Ok(event))?),
            SinkStep::Savepoint { steps, is_kept } => {
                let ended = conn.transaction(|conn| -> Result<(), BoxError> {
                    run(conn, other, steps, answers)?;
                    match is_kept {
                        true => Ok(()),
                        false => Err(diesel::result::Error::RollbackTransaction.into()),
                    }
                });
                expect_end(ended, is_kept)?;
            }
        }
    }
    Ok(())
}

/// diesel rolls back by an error of the closure.
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
        let Self { conn, other } = self;
        let mut answers = Vec::new();
        let SinkScript {
            begins_to_write,
            steps,
            commits,
        } = script;
        let work = |conn: &mut SqliteConnection| -> Result<(), BoxError> {
            run(conn, other, steps, &mut answers)?;
            match commits {
                true => Ok(()),
                false => Err(diesel::result::Error::RollbackTransaction.into()),
            }
        };
        let ended = match begins_to_write {
            true => conn.immediate_transaction(work),
            false => conn.transaction(work),
        };
        expect_end(ended, commits)?;
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

fn connect(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(&path.display().to_string()).unwrap();
    let wait = diesel::sql_query("PRAGMA busy_timeout = 5000");
    wait.execute(&mut conn).unwrap();
    conn
}

async fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("app.db")).await;
    (store.unwrap(), folder)
}

async fn make() -> (OnConnection, SqliteStore, TempDir) {
    let (store, folder) = open().await;
    let path = folder.path().join("app.db");
    let sink = OnConnection {
        conn: connect(&path),
        other: connect(&path),
    };
    (sink, store, folder)
}

sink_conformance!(make);

#[derive(Debug, Clone, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "draft", snapshot, coalesce = "latest")]
struct Draft {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn draft(id: i64) -> Draft {
    let user_id = "u1".to_owned();
    Draft { id, user_id }
}

#[tokio::test]
async fn typed_changes_are_enqueued_on_a_connection_of_a_pool() {
    let (store, folder) = open().await;
    let path = folder.path().join("app.db").display().to_string();
    let pool = Pool::builder().max_size(1);
    let pool = pool.build(ConnectionManager::<SqliteConnection>::new(path));
    let mut conn = pool.unwrap().get().unwrap();
    draft(1).enqueue_create().on(&mut *conn).unwrap();
    enqueue_all(&[draft(2), draft(3)]).on(&mut *conn).unwrap();
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
    let canceled = Cancel::entity("u1", 2).on(&mut *conn).unwrap();
    assert_eq!(canceled.canceled.len(), 1);
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 2);
}

#[tokio::test]
async fn without_a_transaction_a_lock_of_another_connection_is_waited_for() {
    let (_store, folder) = open().await;
    let path = folder.path().join("app.db");
    let mut conn = SqliteConnection::establish(&path.display().to_string()).unwrap();
    let mut other = connect(&path);
    let locked = other.immediate_transaction(|_| {
        let refused = draft(1).enqueue_create().on(&mut conn).unwrap_err();
        let EnqueueError::Store(error) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("busy timeout"), "{error}");
        QueryResult::Ok(())
    });
    locked.unwrap();
    draft(1).enqueue_create().on(&mut conn).unwrap();
}

#[tokio::test]
async fn a_database_without_an_outbox_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = connect(&folder.path().join("empty.db"));
    let refused = draft(1).enqueue_create().on(&mut conn).unwrap_err();
    assert!(
        matches!(&refused, EnqueueError::Store(error)
            if error.kind() == StoreErrorKind::NotInstalled),
        "{refused:?}"
    );
}

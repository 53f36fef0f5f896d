//! Transactions of sqlx keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::pin::Pin;

use async_trait::async_trait;
use outbox_runtime::prelude::*;
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{Cancel, EventSink, NewEvent, Operation, StoreErrorKind, enqueue_all};
use outbox_sqlx as _;
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Acquire, Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;

struct OnTransaction(SqlitePool);

fn run<'a>(
    tx: &'a mut Transaction<'_, Sqlite>,
    pool: &'a SqlitePool,
    steps: Vec<SinkStep>,
    answers: &'a mut Vec<SinkAnswer>,
) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>> {
    Box::pin(async move {
        for step in steps {
            match step {
                SinkStep::Enqueue(event) => {
                    let answer = tx.enqueue(Ok(event)).await;
                    answers.push(answer.map(|enqueued| vec![enqueued]));
                }
                SinkStep::EnqueueAll(events) => {
                    answers.push(tx.enqueue_all(events.into_iter().map(Ok)).await);
                }
                SinkStep::Read => {
                    let count = sqlx::query("SELECT count(*) FROM outbox_events");
                    count.fetch_one(&mut **tx).await?;
                }
                SinkStep::Elsewhere(event) => {
                    let mut other = pool.acquire().await?;
                    (&mut *other).enqueue(Ok(event)).await?;
                }
                SinkStep::Savepoint { steps, is_kept } => {
                    let mut inner = tx.begin().await?;
                    run(&mut inner, pool, steps, answers).await?;
                    match is_kept {
                        true => inner.commit().await?,
                        false => inner.rollback().await?,
                    }
                }
            }
        }
        Ok(())
    })
}

#[async_trait]
impl SinkUnderTest for OnTransaction {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let mut answers = Vec::new();
        let mut tx = self.0.begin_with(script.begin_in_sqlite()).await?;
        run(&mut tx, &self.0, script.steps, &mut answers).await?;
        match script.commits {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

async fn open() -> (SqlitePool, SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let pool = SqlitePoolOptions::new().max_connections(3);
    let pool = pool.connect_with(options).await.unwrap();
    (pool, store, folder)
}

async fn make() -> (OnTransaction, SqliteStore, TempDir) {
    let (pool, store, folder) = open().await;
    (OnTransaction(pool), store, folder)
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
async fn typed_changes_are_enqueued_on_a_transaction_and_on_a_connection() {
    let (pool, store, _folder) = open().await;
    let mut tx = pool.begin().await.unwrap();
    draft(1).enqueue_create().on(&mut tx).await.unwrap();
    enqueue_all(&[draft(2), draft(3)])
        .on(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    draft(4).enqueue_create().on(&mut *conn).await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 4);
    let canceled = Cancel::entity("u1", 2).on(&mut *conn).await.unwrap();
    assert_eq!(canceled.canceled.len(), 1);
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}

#[tokio::test]
async fn a_future_that_is_dropped_half_way_leaves_all_of_a_batch_or_nothing() {
    let (pool, store, _folder) = open().await;
    for polls in 1..40 {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let events = (0..5).map(|id| Ok(NewEvent::new("note", id, "u1", Operation::Create)));
        let mut future = Box::pin((&mut tx).enqueue_all(events));
        for _ in 0..polls {
            // Polls once, and lets the connection's thread answer.
            tokio::select! {
                biased;
                _ = &mut future => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(future);
        tx.commit().await.unwrap();
        let count = store.statistics(None).await.unwrap().pending_count;
        assert_eq!(count % 5, 0, "after {polls} polls");
    }
}

#[tokio::test]
async fn without_a_transaction_a_lock_of_another_connection_is_waited_for() {
    let (pool, _store, folder) = open().await;
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("app.db"))
        .busy_timeout(std::time::Duration::from_millis(1));
    let impatient = SqlitePool::connect_with(options).await.unwrap();
    let tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut conn = impatient.acquire().await.unwrap();
    let ways: [fn() -> NewEvent; 2] = [
        || NewEvent::new("note", 1, "u1", Operation::Create),
        || NewEvent::new("note", 1, "u1", Operation::Create).with_key("k"),
    ];
    for event in ways {
        let refused = (&mut *conn).enqueue(Ok(event())).await.unwrap_err();
        let outbox_runtime::EnqueueError::Store(error) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("busy timeout"), "{error}");
    }
    tx.rollback().await.unwrap();
    (&mut *conn).enqueue(Ok(ways[0]())).await.unwrap();
}

#[tokio::test]
async fn a_database_without_an_outbox_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("empty.db"))
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let refused = draft(1).enqueue_create().on(&mut tx).await.unwrap_err();
    assert!(
        matches!(&refused, outbox_runtime::EnqueueError::Store(error)
            if error.kind() == StoreErrorKind::NotInstalled),
        "{refused:?}"
    );
}

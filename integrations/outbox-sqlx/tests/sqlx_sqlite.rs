//! Transactions of sqlx keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use async_trait::async_trait;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite;
use outbox_runtime::store::{
    BatchSink, BoxError, CheckDepth, ClaimRequest, OutboxQueue, SqliteInsert,
};
use outbox_runtime::{Cancel, Enqueued, EventSink, NewEvent, StoreErrorKind, enqueue_all};
use outbox_sqlx as _;
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Acquire, Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;

struct OnTransaction(SqlitePool);

#[async_trait(?Send)]
impl SinkUnderTest for OnTransaction {
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        let begin = match to_write {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN",
        };
        Ok(Box::new(Open(self.0.begin_with(begin).await?)))
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

struct Open<'c>(Transaction<'c, Sqlite>);

sink_transaction! { async Open<'_>:
    sink |this| &mut this.0;
    read |this| drop(sqlx::query("SELECT count(*) FROM outbox_events").fetch_one(&mut *this.0).await?);
    savepoint |this| Open(this.0.begin().await?);
    end |this, commits| if commits { this.0.commit().await? } else { this.0.rollback().await? };
}

async fn open() -> (SqlitePool, SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::builder(&path).single_process().open().await;
    let store = store.unwrap();
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

#[tokio::test]
async fn an_event_is_not_folded_while_others_have_no_place() {
    let (pool, store, folder) = open().await;
    let mut conn = pool.acquire().await.unwrap();
    draft(1).enqueue_update().on(&mut *conn).await.unwrap();
    // A program with another library writes an event; the next claim finds its place.
    let other = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    let event = NewEvent::new("note", 2, "u1", Operation::Create);
    let insert = SqliteInsert::new(&event).unwrap();
    let params = rusqlite::params_from_iter(insert.params());
    other.execute(insert.sql(), params).unwrap();
    let second = draft(1).enqueue_update().on(&mut *conn).await.unwrap();
    assert!(matches!(second, Enqueued::New(_)), "{second:?}");
    // A connection of rusqlite finds the place itself, and folds.
    let third = draft(1).enqueue_update().on(&other).unwrap();
    assert!(matches!(third, Enqueued::Folded { .. }), "{third:?}");
    let fourth = draft(1).enqueue_update().on(&mut *conn).await.unwrap();
    assert!(matches!(fourth, Enqueued::Folded { .. }), "{fourth:?}");
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}

#[tokio::test]
async fn a_completion_that_is_dropped_half_way_is_made_or_not() {
    let (pool, store, _folder) = open().await;
    for polls in 1..40 {
        let event = NewEvent::new("note", polls, "u1", Operation::Create);
        store.create_event(event).await.unwrap();
        let request = ClaimRequest::new(1, std::time::Duration::from_secs(60));
        let claim = store.claim(&request).await;
        let event = claim.unwrap().remove(0).event;
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let mut future = Box::pin(event.complete_on(&mut tx));
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
        let found = store.fetch_event(event.id).await.unwrap().unwrap();
        // Either way the handler may complete it again.
        assert!(
            matches!(
                found.status,
                OutboxStatus::Processing | OutboxStatus::Completed
            ),
            "after {polls} polls"
        );
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        event.complete_on(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let found = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(found.status, OutboxStatus::Completed, "after {polls} polls");
    }
    let found = store.check(CheckDepth::Full).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

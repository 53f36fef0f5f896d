//! Connections of diesel keep the promises that `sink_conformance!` lists for sinks.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::path::Path;

use async_trait::async_trait;
use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use outbox_diesel as _;
use outbox_runtime::prelude::*;
use outbox_runtime::store::{BoxError, SqliteInsert};
use outbox_runtime::{
    Cancel, EnqueueError, Enqueued, NewEvent, StoreErrorKind, enqueue_all, rusqlite,
};
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

type Transactions = <SqliteConnection as Connection>::TransactionManager;

struct OnConnection(SqliteConnection);

/// A transaction, or a savepoint in one.
struct Open<'c>(&'c mut SqliteConnection);

impl Open<'_> {
    fn end(self, commits: bool) -> QueryResult<()> {
        match commits {
            true => Transactions::commit_transaction(self.0),
            false => Transactions::rollback_transaction(self.0),
        }
    }
}

#[async_trait(?Send)]
impl SinkUnderTest for OnConnection {
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        let begin = match to_write {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN",
        };
        Transactions::begin_transaction_sql(&mut self.0, begin)?;
        Ok(Box::new(Open(&mut self.0)))
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

sink_transaction! { sync Open<'_>:
    sink |this| &mut *this.0;
    read |this| {
        diesel::sql_query("SELECT count(*) FROM outbox_events").execute(this.0)?;
    };
    savepoint |this| {
        Transactions::begin_transaction(this.0)?;
        Open(this.0)
    };
    end |this, commits| Open::end(this, commits)?;
}

fn connect(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(&path.display().to_string()).unwrap();
    let wait = diesel::sql_query("PRAGMA busy_timeout = 5000");
    wait.execute(&mut conn).unwrap();
    conn
}

async fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::builder(folder.path().join("app.db")).single_process();
    (store.open().await.unwrap(), folder)
}

async fn make() -> (OnConnection, SqliteStore, TempDir) {
    let (store, folder) = open().await;
    let conn = connect(&folder.path().join("app.db"));
    (OnConnection(conn), store, folder)
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

#[tokio::test]
async fn an_event_is_not_folded_while_others_have_no_place() {
    let (store, folder) = open().await;
    let path = folder.path().join("app.db");
    let mut conn = connect(&path);
    draft(1).enqueue_update().on(&mut conn).unwrap();
    // A program with another library writes an event; the next claim finds its place.
    let other = rusqlite::Connection::open(&path).unwrap();
    let event = NewEvent::new("note", 2, "u1", Operation::Create);
    let insert = SqliteInsert::new(&event).unwrap();
    let params = rusqlite::params_from_iter(insert.params());
    other.execute(insert.sql(), params).unwrap();
    let second = draft(1).enqueue_update().on(&mut conn).unwrap();
    assert!(matches!(second, Enqueued::New(_)), "{second:?}");
    // A connection of rusqlite finds the place itself, and folds.
    let third = draft(1).enqueue_update().on(&other).unwrap();
    assert!(matches!(third, Enqueued::Folded { .. }), "{third:?}");
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}

//! Transactions of sea-orm keep the promises that `sink_conformance!` lists for sinks.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use async_trait::async_trait;
use outbox_runtime::store::{BoxError, SqliteInsert};
use outbox_runtime::{Coalesce, Enqueued, EventSink, NewEvent, Operation, SqliteStore, rusqlite};
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use outbox_with_sea_orm as _;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tempfile::TempDir;

struct OnTransaction(DatabaseConnection);

struct Open(DatabaseTransaction);

#[async_trait(?Send)]
impl SinkUnderTest for OnTransaction {
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        let mode = match to_write {
            true => SqliteTransactionMode::Immediate,
            false => SqliteTransactionMode::Deferred,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(mode),
            ..TransactionOptions::default()
        };
        Ok(Box::new(Open(self.0.begin_with_options(options).await?)))
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

sink_transaction! { async Open:
    sink |this| &this.0;
    read |this| this.0.execute_unprepared("SELECT count(*) FROM outbox_events").await.map(|_| ())?;
    savepoint |this| Open(this.0.begin().await?);
    end |this, commits| if commits { this.0.commit().await? } else { this.0.rollback().await? };
}

async fn make() -> (OnTransaction, SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::builder(&path).single_process().open().await;
    let store = store.unwrap();
    let url = format!("sqlite://{}", path.display());
    // By default sea-orm keeps a single connection to a file.
    let mut options = ConnectOptions::new(url);
    options.max_connections(3);
    let db = Database::connect(options).await.unwrap();
    (OnTransaction(db), store, folder)
}

sink_conformance!(make);

fn change() -> NewEvent {
    NewEvent::new("draft", 1, "u1", Operation::Update).with_coalesce(Coalesce::Latest)
}

#[tokio::test]
async fn an_event_is_not_folded_while_others_have_no_place() {
    let (OnTransaction(db), _store, folder) = make().await;
    let first = db.begin().await.unwrap();
    (&first).enqueue(Ok(change())).await.unwrap();
    first.commit().await.unwrap();
    // A program with another library writes an event; the next claim finds its place.
    let other = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    let event = NewEvent::new("note", 2, "u1", Operation::Create);
    let insert = SqliteInsert::new(&event).unwrap();
    let params = rusqlite::params_from_iter(insert.params());
    other.execute(insert.sql(), params).unwrap();
    let second = db.begin().await.unwrap();
    let enqueued = (&second).enqueue(Ok(change())).await.unwrap();
    assert!(matches!(enqueued, Enqueued::New(_)), "{enqueued:?}");
    second.commit().await.unwrap();
    // A connection of rusqlite finds the place itself, and folds.
    let third = (&other).enqueue(Ok(change())).unwrap();
    assert!(matches!(third, Enqueued::Folded { .. }), "{third:?}");
}

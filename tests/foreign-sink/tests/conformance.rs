//! The sink of a third crate keeps the promises of our own.

#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use async_trait::async_trait;
use deadpool::unmanaged::Pool;
use outbox_foreign_sink::Pooled;
use outbox_runtime::store::BoxError;
use outbox_runtime::{SqliteStore, rusqlite};
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use outbox_tests::Temporary;

struct OnPooled(Pooled);

/// A transaction or a savepoint, and how each ends.
struct Open<'c> {
    conn: &'c Pooled,
    keep: &'static str,
    undo: &'static str,
}

#[async_trait(?Send)]
impl SinkUnderTest for OnPooled {
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        self.0.execute_batch(match to_write {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN",
        })?;
        Ok(Box::new(Open {
            conn: &self.0,
            keep: "COMMIT",
            undo: "ROLLBACK",
        }))
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

sink_transaction! { sync Open<'_>:
    sink |this| this.conn;
    read |this| this.conn.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
    savepoint |this| {
        this.conn.execute_batch("SAVEPOINT mine")?;
        Open { conn: this.conn, keep: "RELEASE mine", undo: "ROLLBACK TO mine; RELEASE mine" }
    };
    end |this, commits| this.conn.execute_batch(if commits { this.keep } else { this.undo })?;
}

async fn make() -> (
    OnPooled,
    SqliteStore,
    (Temporary, Pool<rusqlite::Connection>),
) {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::single_process).await;
    let pool = Pool::from(vec![temporary.connect()]);
    let sink = OnPooled(pool.get().await.unwrap());
    let store = temporary.store.clone();
    (sink, store, (temporary, pool))
}

sink_conformance!(make);

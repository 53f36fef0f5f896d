//! The sink of a third crate keeps the promises of our own.

#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use deadpool::unmanaged::Pool;
use outbox_foreign_sink::Pooled;
use outbox_runtime::{SqliteStore, rusqlite};
use outbox_testing::sink_conformance;
use outbox_tests::{Temporary, sink_by_statements};

sink_by_statements!(OnPooled(Pooled));

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

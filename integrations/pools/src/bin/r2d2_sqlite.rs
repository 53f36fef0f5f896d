//! A transaction on a connection of `r2d2_sqlite`.
#![allow(
    clippy::disallowed_methods,
    reason = "it measures how soon a processor wakes"
)]

use std::time::Instant;

use outbox_runtime::SqliteStore;
use outbox_with_pools::{Deliveries, Error, save};
use r2d2_sqlite::SqliteConnectionManager;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await?;
    let deliveries = Deliveries::start(&store)?;
    let pool = r2d2::Pool::new(SqliteConnectionManager::file(&path))?;
    let saved = tokio::task::spawn_blocking(move || {
        // A connection of rusqlite, so `.on(&tx)` takes its transactions.
        let mut conn = pool.get()?;
        save(&mut conn)
    });
    saved.await??;
    deliveries.three_after(Instant::now(), "r2d2_sqlite").await
}

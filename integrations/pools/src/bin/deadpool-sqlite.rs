//! A transaction on a connection of `deadpool-sqlite`: `interact` runs it on a thread.
#![allow(
    clippy::disallowed_methods,
    reason = "it measures how soon a processor wakes"
)]

use std::time::Instant;

use deadpool_sqlite::{Config, Runtime};
use outbox_runtime::SqliteStore;
use outbox_with_pools::{Deliveries, Error, save};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await?;
    let deliveries = Deliveries::start(&store)?;
    let pool = Config::new(&path).create_pool(Runtime::Tokio1)?;
    let conn = pool.get().await?;
    // A connection of rusqlite, so `.on(&tx)` takes its transactions.
    conn.interact(save)
        .await
        .map_err(|error| error.to_string())??;
    deliveries
        .three_after(Instant::now(), "deadpool-sqlite")
        .await
}

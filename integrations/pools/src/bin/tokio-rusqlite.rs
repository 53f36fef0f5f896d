//! A transaction on the thread of `tokio-rusqlite`.
#![allow(
    clippy::disallowed_methods,
    reason = "it measures how soon a processor wakes"
)]

use std::time::Instant;

use outbox_runtime::SqliteStore;
use outbox_with_pools::{Deliveries, Error, save};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await?;
    let deliveries = Deliveries::start(&store)?;
    let conn = tokio_rusqlite::Connection::open(&path).await?;
    // A connection of rusqlite, so `.on(&tx)` takes its transactions.
    conn.call(save).await.map_err(|error| error.to_string())?;
    deliveries
        .three_after(Instant::now(), "tokio-rusqlite")
        .await
}

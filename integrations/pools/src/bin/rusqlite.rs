//! A transaction on a connection of `rusqlite` itself.
#![allow(
    clippy::disallowed_methods,
    reason = "it measures how soon a processor wakes"
)]

use std::time::Instant;

use outbox_runtime::{SqliteStore, rusqlite};
use outbox_with_pools::{Deliveries, Error, save};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await?;
    let deliveries = Deliveries::start(&store)?;
    let mut conn = rusqlite::Connection::open(&path)?;
    tokio::task::spawn_blocking(move || save(&mut conn)).await??;
    deliveries.three_after(Instant::now(), "rusqlite").await
}

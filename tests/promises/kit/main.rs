//! The test kit for applications: each promise of it, on each store.

mod delivering;
mod enqueued;
mod entities;
mod first_look;
mod performing;
mod service;
mod time;

use std::sync::Arc;

use outbox_runtime::prelude::*;

use crate::entities::{Goal, MoodEntry, SOON, goal, message_of, mood};

/// A store of each kind in this process, on the machine's clock or on tokio's paused one.
async fn stores() -> [Arc<dyn OutboxRepository>; 2] {
    let sqlite = SqliteStore::open_in_memory().await.unwrap();
    [Arc::new(MemoryStore::new()), Arc::new(sqlite)]
}

//! The test kit for applications: each promise of it, on each store.

mod delivering;
mod enqueued;
mod performing;
mod service;
mod time;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;

const SOON: Duration = Duration::from_secs(30);

/// An entity with a sensitive field, and one under another name in JSON.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
    #[outbox(metadata)]
    title: String,
    #[outbox(metadata)]
    label: Option<String>,
    #[outbox(metadata, sensitive)]
    notes: String,
}

/// An entity without metadata.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "goal", timeout = "20s")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn mood(id: i64, valence: f64) -> MoodEntry {
    MoodEntry {
        id,
        user_id: "u1".to_owned(),
        valence,
        title: "Evening".to_owned(),
        label: None,
        notes: "my secret".to_owned(),
    }
}

fn goal(id: i64) -> Goal {
    Goal {
        id,
        user_id: "u1".to_owned(),
    }
}

/// A store of each kind in this process, on the machine's clock or on tokio's paused one.
async fn stores() -> [Arc<dyn OutboxRepository>; 2] {
    let sqlite = SqliteStore::open_in_memory().await.unwrap();
    [Arc::new(MemoryStore::new()), Arc::new(sqlite)]
}

/// The message with which a future panics.
async fn message_of(panics: impl Future<Output = ()> + Send + 'static) -> String {
    let ended = tokio::spawn(panics).await;
    let payload = ended.expect_err("it should have panicked").into_panic();
    *payload.downcast::<String>().expect("a message")
}

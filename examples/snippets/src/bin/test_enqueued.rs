//! How do I test what my app enqueues?

use outbox_runtime::prelude::*;
use outbox_testing::{assert_enqueued, refute_enqueued};

#[derive(OutboxEntity)]
#[outbox(event_type = "mood", priority = 5)]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(metadata)]
    valence: f64,
}

/// Stands for the app.
async fn edit(store: &SqliteStore, id: i64, valence: f64) -> Result<(), EnqueueError> {
    let user_id = "user-1";
    let mood = Mood {
        id,
        user_id,
        valence,
    };
    mood.enqueue_update().on(store).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    edit(&store, 7, 0.5).await?;
    let event = assert_enqueued!(store, Mood { valence: 0.5, .. }, operation = Update);
    refute_enqueued!(store, Mood, operation = Delete);
    println!("one update is enqueued, of {}", event.entity_id);
    Ok(())
}

//! The user picks five avatars in a row: must the app send five requests?
use anyhow::ensure;
use outbox_runtime::{Enqueued, OutboxRepository, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "avatar")]
struct Avatar {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    file: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    for id in 1..=5 {
        let (user_id, file) = ("user-1".to_owned(), format!("{id}.png"));
        let avatar = Avatar { id, user_id, file };
        // Each pick is another entity; the key says that only the last one is wanted.
        let answer = avatar.enqueue_create().key("avatar").on(&store).await?;
        ensure!(matches!(answer, Enqueued::Replaced { .. }) == (id > 1));
    }
    let waiting = store.fetch_pending_events(None, None).await?;
    ensure!(waiting.len() == 1 && waiting[0].entity_id == 5.into());
    println!("one request is left, with {:?}", waiting[0].dedup_key);
    Ok(())
}

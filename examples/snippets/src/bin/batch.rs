//! How do I enqueue many events at once?
//!
//! `enqueue_all` writes all of them in one transaction, or none. One commit is one fsync.
use anyhow::ensure;
use outbox_runtime::prelude::*;
use outbox_runtime::{OutboxRepository, enqueue_all};

#[derive(OutboxEntity)]
#[outbox(event_type = "steps")]
struct Steps {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    count: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let steps = |id, user_id: &str| Steps {
        id,
        user_id: user_id.to_owned(),
        count: 100,
    };
    let day: Vec<Steps> = (1..=1000).map(|id| steps(id, "user-1")).collect();
    enqueue_all(&day).priority(-1).on(&store).await?;
    ensure!(store.statistics(None).await?.pending_count == 1000);
    // An event that cannot be enqueued takes the whole batch with it: here, an empty user id.
    let faulty = [steps(2001, "user-1"), steps(2002, "")];
    let Err(error) = enqueue_all(&faulty).on(&store).await else {
        anyhow::bail!("the batch was accepted");
    };
    println!("refused: {error}");
    ensure!(matches!(error, EnqueueError::InBatch { index: 1, .. }));
    ensure!(store.statistics(None).await?.pending_count == 1000);
    println!("1000 events in one commit, and none of a faulty batch");
    Ok(())
}

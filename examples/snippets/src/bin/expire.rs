//! A change is worth nothing after an hour: can it be left out then?
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::{DeadReason, RunOutcome, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "location", expires_after = "1h")] // on_expiry = "drop" deletes it
struct Location {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let processor = Processor::builder(store.clone())
        .handle::<Location>(|_| async { Err(HandlerError::permanent("it was sent")) })
        .build()?;
    let running = processor.start("user-1");
    let mut outcomes = running.outcomes();
    let user_id = "user-1".to_owned();
    let location = Location { id: 1, user_id };
    // It is due in a minute, and expires before.
    let soon = store.clock().now() + Duration::from_millis(50);
    let change = location.enqueue_create().delay(Duration::from_secs(60));
    change.expires_at(soon).on(&store).await?;
    let Some(RunOutcome::Dead { reason, .. }) = outcomes.next().await else {
        anyhow::bail!("it did not expire");
    };
    ensure!(reason == DeadReason::Expired);
    println!("it expired, was not sent, and blocks nothing");
    running.stop().await?;
    Ok(())
}

//! A device changes one thing a hundred times while offline: must it send a hundred requests?
//!
//! Not with `coalesce = "latest"`: a change replaces an older one that nobody has claimed yet. It
//! needs `snapshot`, so that the latest event carries the whole entity.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::Enqueued;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "settings", snapshot, coalesce = "latest")]
struct Settings {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    volume: u8,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let mut folded = 0;
    for volume in 1..=100 {
        let settings = Settings {
            id: 1,
            user_id: "user-1".into(),
            volume,
        };
        if let Enqueued::Folded { .. } = settings.enqueue_update().on(&store).await? {
            folded += 1;
        }
    }
    ensure!(folded == 99);

    let sent = Arc::new(Mutex::new(Vec::new()));
    let running = Processor::builder(store.clone())
        .handle_with(
            Arc::clone(&sent),
            |sent, event: Event<Settings>| async move {
                let volume = event.metadata().volume;
                sent.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(volume);
                Ok(())
            },
        )
        .build()?
        .start("user-1");
    ensure!(
        running
            .flush(1, Duration::from_secs(5))
            .await?
            .is_delivered()
    );
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(sent == [100]);
    println!("100 changes, 1 request, with the latest volume {sent:?}");
    running.stop().await?;
    Ok(())
}

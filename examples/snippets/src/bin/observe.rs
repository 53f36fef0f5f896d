//! Which events does the outbox hold, is the run healthy, and why is this entity not delivered?
//!
//! `statistics`, `health` and `explain` answer. A store answers the first and the last one without
//! a processor, too.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::prelude::*;
use outbox_runtime::{Health, WaitsFor};

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let mood = |id| Mood {
        id,
        user_id: "user-1".into(),
    };
    mood(1).enqueue_create().on(&store).await?;
    let later = Duration::from_secs(3600);
    mood(2).enqueue_create().delay(later).on(&store).await?;

    let running = Processor::builder(store.clone())
        .handle::<Mood>(|_event| async { Ok(()) })
        .build()?
        .start("user-1");
    ensure!(
        running
            .flush(1, Duration::from_secs(5))
            .await?
            .is_delivered()
    );

    let statistics = store.statistics(Some("user-1")).await?;
    println!("{statistics}");
    ensure!(statistics.completed_count == 1 && statistics.pending_count == 1);

    let explanation = running.explain(2).await?;
    println!("{explanation}");
    ensure!(matches!(explanation.waits_for, WaitsFor::DueTime { .. }));

    println!("{:?}", running.health());
    ensure!(running.health().is_healthy());
    running.stop().await?;
    ensure!(running.health() == Health::Ended { error: None });
    Ok(())
}

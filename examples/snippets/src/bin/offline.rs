//! What happens while the device is offline, and how do I say that it is back?
//!
//! The handler answers `offline`; the event keeps its attempts and waits. `online()` probes at
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::WaitsFor;
use outbox_runtime::prelude::*;

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
    let store = MemoryStore::new();
    let network = Arc::new(AtomicBool::new(false));
    let running = Processor::builder(store.clone())
        .handle_with(
            Arc::clone(&network),
            |network, _event: Event<Mood>| async move {
                match network.load(Ordering::Relaxed) {
                    true => Ok(()),
                    false => Err(HandlerError::offline()),
                }
            },
        )
        .build()?
        .start("user-1");

    for id in 1..=5 {
        let user_id = "user-1".to_owned();
        Mood { id, user_id }.enqueue_create().on(&store).await?;
    }
    ensure!(
        !running
            .flush(5, Duration::from_millis(300))
            .await?
            .is_delivered()
    );
    let explanation = running.explain(5).await?;
    println!("offline: {explanation}");
    ensure!(matches!(explanation.waits_for, WaitsFor::Outage { .. }));

    network.store(true, Ordering::Relaxed);
    running.online(); // what you would call from the system's reachability callback
    for id in 1..=5 {
        ensure!(
            running
                .flush(id, Duration::from_secs(5))
                .await?
                .is_delivered()
        );
    }
    let events = store
        .fetch_events(OutboxStatus::Completed, None, None)
        .await?;
    ensure!(events.len() == 5 && events.iter().all(|event| event.attempt_count == 1));
    println!("online: 5 delivered, and the outage used up no attempt");
    running.stop().await?;
    Ok(())
}

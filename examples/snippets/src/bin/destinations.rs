//! My events go to several servers: does one that is down stop the others?
//!
//! Not if events name their destination: each destination has a circuit breaker of its own.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::WaitsFor;
use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "webhook", destination = &self.host)]
struct Webhook {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    host: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let running = Processor::builder(store.clone())
        .handle::<Webhook>(|event| async move {
            match event.destination.as_deref() {
                Some("eu.example.org") => Err(HandlerError::unavailable("502 Bad Gateway")),
                _ => Ok(()),
            }
        })
        .build()?
        .start("user-1");

    for id in 1..=20 {
        let host = match id % 2 {
            0 => "eu.example.org",
            _ => "us.example.org",
        };
        let webhook = Webhook {
            id,
            user_id: "user-1".into(),
            host: host.into(),
        };
        webhook.enqueue_create().on(&store).await?;
    }
    for id in (1..=20).filter(|id| id % 2 == 1) {
        ensure!(
            running
                .flush(id, Duration::from_secs(5))
                .await?
                .is_delivered()
        );
    }
    // The circuit breaker opens once a few deliveries to the EU were refused.
    let is_down = |waits_for: &WaitsFor| matches!(waits_for, WaitsFor::Outage { .. });
    let mut explanation = running.explain(20).await?;
    for _ in 0..200 {
        if is_down(&explanation.waits_for) {
            break;
        }
        let _ = running.flush(20, Duration::from_millis(25)).await?;
        explanation = running.explain(20).await?;
    }
    println!("eu: {explanation}");
    ensure!(is_down(&explanation.waits_for));
    let statistics = running.statistics().await?;
    ensure!(statistics.completed_count == 10 && statistics.dead_count == 0);
    println!("us: 10 of 10 delivered");
    running.stop().await?;
    Ok(())
}

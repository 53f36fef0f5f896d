//! How do I list, export and retry dead letters?
//!
//! A permanent failure leaves a dead letter with its reason. It holds back later events of its
//! entity until it is retried or discarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use outbox_runtime::prelude::*;
use outbox_runtime::{DeadLetters, DeadReason};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let repaired = Arc::new(AtomicBool::new(false));
    let running = Processor::builder(store.clone())
        .handle_with(
            Arc::clone(&repaired),
            |repaired, event: Event<Goal>| async move {
                match event.entity_id == 7.into() && !repaired.load(Ordering::Relaxed) {
                    true => Err(HandlerError::permanent("422: title too long")),
                    false => Ok(()),
                }
            },
        )
        .build()?
        .start("user-1");
    for id in [7, 8] {
        let user_id = "user-1".to_owned();
        Goal { id, user_id }.enqueue_create().on(&store).await?;
    }
    ensure!(
        running
            .flush(8, Duration::from_secs(5))
            .await?
            .is_delivered()
    );
    let flushed = running.flush(7, Duration::from_secs(5)).await?;
    println!("7 is blocked: {flushed:?}");

    let rejected = DeadLetters::of(store.clone()).with_reason(DeadReason::Rejected);
    let letters = rejected.list().await?;
    let letter = letters.first().context("no dead letter")?;
    println!(
        "{} {}: {:?}",
        letter.event_type, letter.entity_id, letter.error_message
    );
    let mut export = Vec::new();
    ensure!(rejected.export(&mut export).await? == 1);
    ensure!(String::from_utf8(export)?.contains("title too long"));

    repaired.store(true, Ordering::Relaxed);
    ensure!(rejected.retry().await? == 1);
    ensure!(
        running
            .flush(7, Duration::from_secs(5))
            .await?
            .is_delivered()
    );
    ensure!(rejected.list().await?.is_empty());
    println!(
        "retried and delivered under the same idempotency key {}",
        letter.id
    );

    // To give up instead: `rejected.prepare_discard().await?.confirm().await?`
    running.stop().await?;
    Ok(())
}

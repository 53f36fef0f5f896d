//! Other teams want our events, through a broker: in which envelope, and under which id?
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::{HandlerResult, prelude::*};
use serde_json::Value;
use tokio::sync::mpsc;

#[derive(OutboxEntity)]
#[outbox(event_type = "invoice", user_id = "shop")]
struct Invoice {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(metadata)]
    total: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let (broker, mut topic) = mpsc::unbounded_channel(); // stands for Kafka, NATS, SQS
    let processor = Processor::builder(store.clone())
        .handle::<Invoice>(move |event| {
            let envelope = event.cloud_event("/billing").or_permanent();
            let sent = envelope.and_then(|it| broker.send(it.to_json()).or_retry());
            async { sent }
        })
        .build()?;
    let running = processor.start("shop");
    let change = Invoice { id: 7, total: 120 }.enqueue_create();
    let event_id = change.header("x-tenant", "7").on(&store).await?.event_id();
    let flushed = running.flush(7, Duration::from_secs(5)).await?;
    ensure!(flushed.is_delivered());
    running.stop().await?;
    let message: Value = serde_json::from_str(&topic.recv().await.unwrap_or_default())?;
    ensure!(message["id"] == event_id.to_string());
    ensure!(message["xtenant"] == "7" && message["data"]["total"] == 120);
    println!("consumers recognize a repetition by its id: {message}");
    Ok(())
}

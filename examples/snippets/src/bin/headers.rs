//! Each event has a tenant, whatever its type: where does it go, so that each handler finds it?
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::{OutboxRepository, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "invoice", user_id = "shop")]
struct Invoice {
    #[outbox(entity_id)]
    id: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let change = Invoice { id: 1 }.enqueue_create().header("x-tenant", "7");
    let change = change.sensitive_header("x-on-behalf-of", "ada@example.com");
    let id = change.on(&store).await?.event_id();
    let processor = Processor::builder(store.clone())
        .handle::<Invoice>(|event| async move {
            let value = |name| event.headers().get(name).unwrap_or_default();
            let (tenant, person) = (value("x-tenant"), value("x-on-behalf-of"));
            let message = format!("tenant {tenant}: no {person}");
            Err(HandlerError::permanent(message))
        })
        .build()?;
    let running = processor.start("shop");
    let flushed = running.flush(1, Duration::from_secs(5)).await?;
    ensure!(!flushed.is_delivered());
    running.stop().await?;
    let event = store.fetch_event(id).await?;
    let message = event.and_then(|event| event.error_message);
    ensure!(message.as_deref() == Some("tenant 7: no [redacted]"));
    println!("the handler saw both, and the message shows one: {message:?}");
    Ok(())
}

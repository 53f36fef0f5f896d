//! The service takes a hundred entries in one request: can a handler get as many events?
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::{enqueue_all, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "steps")]
struct Steps {
    #[outbox(entity_id)]
    hour: u32,
    #[outbox(user_id)]
    user: String,
}
#[derive(OutboxEvents)]
enum FitEvent {
    #[outbox(batch = 100, within = "2s")]
    Steps(Event<Steps>),
}
struct Service;
impl FitEventHandler for Service {
    async fn steps(&self, batch: Batch<Event<Steps>>) -> Result<(), HandlerError> {
        println!("POST {} entries", batch.len());
        if let Some(refused) = batch.iter().position(|event| event.entity_id == 13.into()) {
            batch.fail(refused, HandlerError::permanent("13 is refused"));
        }
        Ok(()) // all others
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let user = || "ada".to_owned();
    let hours: Vec<Steps> = (0..250).map(|hour| Steps { hour, user: user() }).collect();
    enqueue_all(&hours).on(&store).await?;
    let processor = Processor::builder(store).handlers(FitEvent::handled_by(Service));
    let running = processor.build()?.start("ada");
    ensure!(
        running
            .flush(249, Duration::from_secs(9))
            .await?
            .is_delivered()
    );
    ensure!(
        !running
            .flush(13, Duration::from_secs(9))
            .await?
            .is_delivered()
    );
    Ok(running.stop().await.map(drop)?)
}

//! The service takes a hundred entries in one request: can a handler get as many events?
use outbox_runtime::{enqueue_all, prelude::*};
#[derive(OutboxEntity)]
#[outbox(event_type = "steps")]
struct Steps {
    #[outbox(entity_id)]
    hour: u32,
    #[outbox(user_id)]
    user: u32,
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
        if let Some(refused) = batch.iter().position(|it| it.entity_id == 13.into()) {
            batch.fail(refused, HandlerError::permanent("13 is refused"));
        }
        Ok(()) // the others are delivered
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let hours: Vec<_> = (0..250).map(|hour| Steps { hour, user: 1 }).collect();
    enqueue_all(&hours).on(&store).await?;
    let processor = Processor::builder(store).handlers(FitEvent::handled_by(Service));
    let running = processor.build()?.start("1");
    for (hour, is_accepted) in [(249, true), (13, false)] {
        let flushed = running
            .flush(hour, std::time::Duration::from_secs(9))
            .await?;
        anyhow::ensure!(flushed.is_delivered() == is_accepted);
    }
    Ok(running.stop().await.map(drop)?)
}

//! Layers around sets and processors, and limits by every kind of name.

use outbox_runtime::prelude::*;
use outbox_runtime::{Answer, Batch, HandlerSet, NextBatch};

struct Measure;

#[async_trait]
impl Layer for Measure {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        next.run().await
    }

    async fn attempt_batch(&self, batch: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
        let answer = next.run().await;
        let _ = batch.answered(0);
        answer
    }
}

const GENTLE: Pace = Pace::per_hour(30).burst(2);

fn main() {
    let name = String::from("api.example.com");
    let _ = Processor::builder(MemoryStore::new())
        .handlers(HandlerSet::new().layer(Measure).layer(Measure))
        .layer(Measure)
        .limit("api.example.com", 4)
        .limit(name.as_str(), 4)
        .limit(Some("api.example.com"), 4)
        .pace(None, GENTLE);
}

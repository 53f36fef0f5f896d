//! Every call should be logged and measured, and none made during maintenance: where does that go?
use std::time::{Duration, Instant};

use outbox_runtime::{Answer, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i32,
    #[outbox(user_id)]
    user: u32,
}
struct Log;
#[async_trait]
impl Layer for Log {
    async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
        if event.priority < 0 {
            return HandlerError::snooze(Duration::from_secs(3600)).into(); // not sent
        }
        let began = Instant::now();
        let answer = next.run().await;
        println!("{} {} {:?}", event.id, answer.class(), began.elapsed());
        answer
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let builder = Processor::builder(store.clone()).layer(Log);
    let running = builder.handle::<Mood>(|_| async { Err(HandlerError::obsolete()) });
    let running = running.build()?.start("1");
    for (id, is_sent) in [(1, true), (2, false)] {
        let create = Mood { id, user: 1 }.enqueue_create();
        create.priority(1 - id).on(&store).await?;
        let flushed = running.flush(id, Duration::from_secs(2)).await?;
        anyhow::ensure!(flushed.is_delivered() == is_sent);
    }
    Ok(running.stop().await.map(drop)?)
}

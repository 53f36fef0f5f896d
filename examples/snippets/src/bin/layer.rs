//! Every call should be logged and measured, and none made during maintenance: where does that go?
use outbox_runtime::{Answer, Clock as _, prelude::*, store::SystemClock};
use std::time::Duration;

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
        let began = SystemClock.uptime();
        let answer = next.run().await;
        let took = SystemClock.uptime() - began;
        println!("{} {} {took:?}", event.id, answer.class());
        answer
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let builder = Processor::builder(store.clone()).layer(Log);
    let builder = builder.handle::<Mood>(|_| async { Err(HandlerError::obsolete()) });
    let running = builder.build()?.start("1");
    for (id, is_sent) in [(1, true), (2, false)] {
        let create = Mood { id, user: 1 }.enqueue_create().priority(1 - id);
        create.on(&store).await?;
        let flushed = running.flush(id, Duration::from_secs(2)).await?;
        anyhow::ensure!(flushed.is_delivered() == is_sent);
    }
    Ok(running.stop().await.map(drop)?)
}

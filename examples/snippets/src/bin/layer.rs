//! Every call should be logged and measured, and none made during maintenance: where does that go?
use std::time::Duration;

use outbox_runtime::{Answer, Clock as _, prelude::*, store::SystemClock};

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
        println!(
            "{} {} {:?}",
            event.id,
            answer.class(),
            SystemClock.uptime() - began
        );
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

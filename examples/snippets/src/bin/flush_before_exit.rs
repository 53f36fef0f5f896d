//! How does a short-lived program (a command, a job) deliver before it exits?
//!
//! `flush` waits for delivery or tells what is in the way; `stop` finishes running handlers and
//! gives everything else back. Undelivered events wait in the store for the next start.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::Flushed;
use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn processor(store: &SqliteStore, is_slow: bool) -> anyhow::Result<Processor> {
    let processor = Processor::builder(store.clone())
        .stop_deadline(Duration::from_millis(100)) // how long `stop` waits for handlers
        .handle_with(is_slow, |is_slow, _event: Event<Mood>| async move {
            if is_slow {
                std::future::pending::<()>().await; // a call that hangs
            }
            Ok(())
        })
        .build()?;
    Ok(processor)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let user_id = "user-1".to_owned();
    let mood = Mood { id: 7, user_id };
    let enqueued = mood.enqueue_create().on(&store).await?;

    let running = processor(&store, true)?.start("user-1");
    match running
        .flush_event(enqueued, Duration::from_millis(300))
        .await?
    {
        Flushed::TimedOut(why) => println!("not yet: {why}"),
        other => anyhow::bail!("{other:?}"),
    }
    running.stop().await?; // gives the attempt back
    ensure!(store.statistics(None).await?.undelivered() == 1);

    // The next start of the program.
    let running = processor(&store, false)?.start("user-1");
    ensure!(
        running
            .flush(7, Duration::from_secs(5))
            .await?
            .is_delivered()
    );
    running.stop().await?;
    println!("delivered by the next run");
    Ok(())
}

//! How do I set retries and timeouts?
//!
//! Keys of the entity win over settings of the processor. Attempts count only while other events
//! get through; `charge = "always"` counts every failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::RetryPolicy;
use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "mood", retry = ["10ms", "20ms"], timeout = "50ms", max_attempts = 3)]
#[outbox(charge = "always")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let running = Processor::builder(store.clone())
        .timeout(Duration::from_secs(20)) // for entities without a key
        .retry(RetryPolicy::new([
            Duration::from_secs(1),
            Duration::from_secs(30),
        ]))
        .max_concurrency(8)
        .handle_with(
            Arc::clone(&attempts),
            |attempts, _event: Event<Mood>| async move {
                match attempts.fetch_add(1, Ordering::Relaxed) {
                    0 => std::future::pending().await, // times out
                    1 => return Err(HandlerError::retry("the service hiccuped")),
                    _ => {}
                }
                Ok(())
            },
        )
        .build()?
        .start("user-1");

    let user_id = "user-1".to_owned();
    let enqueued = Mood { id: 7, user_id }.enqueue_create().on(&store).await?;
    ensure!(
        running
            .flush(7, Duration::from_secs(10))
            .await?
            .is_delivered()
    );
    let event = store.fetch_event(enqueued.event_id()).await?;
    ensure!(event.is_some_and(|event| event.attempt_count == 3));
    ensure!(attempts.load(Ordering::Relaxed) == 3);
    println!("delivered with the third attempt, after a timeout and a failure");
    running.stop().await?;
    Ok(())
}

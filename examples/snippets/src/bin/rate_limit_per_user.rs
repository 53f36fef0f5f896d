//! The service limits each user, not the whole app: must everyone wait?
//!
//! No: `for_user()` narrows a rate limit to the event's user. The derive says the same with
//! `scope = "user"`.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::WaitsFor::{self, DueTime, Outage, RateLimit};
use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
#[outbox(rate_limited(after = wait, scope = "user"))]
struct TooMany {
    wait: Duration,
}

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("429: this user sends too much")
    }
}

impl std::error::Error for TooMany {}

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    let running = Processor::builder(store.clone())
        .handle::<Mood>(|event| async move {
            match event.user_id.as_str() {
                "busy" => Err(TooMany {
                    wait: Duration::from_secs(600),
                })?,
                _ => Ok(()),
            }
        })
        .build()?
        .start_all_users();
    for (id, user) in [(1, "busy"), (2, "busy"), (3, "calm"), (4, "calm")] {
        let user_id = user.to_owned();
        Mood { id, user_id }.enqueue_create().on(&store).await?;
    }
    for id in [3, 4] {
        ensure!(
            running
                .flush(id, Duration::from_secs(5))
                .await?
                .is_delivered()
        );
    }
    // The event waits until the pause is over, or for the probe of its user after that.
    let pauses =
        |waits: &WaitsFor| matches!(waits, DueTime { .. } | RateLimit { .. } | Outage { .. });
    let mut explanation = running.explain(2).await?;
    for _ in 0..200 {
        if pauses(&explanation.waits_for) {
            break;
        }
        let _ = running.flush(2, Duration::from_millis(25)).await?;
        explanation = running.explain(2).await?;
    }
    println!("busy: {explanation}");
    ensure!(pauses(&explanation.waits_for));
    let busy = explanation.first;
    ensure!(busy.is_some_and(|event| event.attempt_count == 0)); // given back
    ensure!(running.statistics().await?.dead_count == 0);
    println!("calm: 2 of 2 delivered");
    running.stop().await?;
    Ok(())
}

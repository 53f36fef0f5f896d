//! A page needs the remote id of its journal: who waits until that is known?
use outbox_runtime::{RunOutcome, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "journal", user_id = "me")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me", priority = 9)]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Journal)] // an Option waits only if it is Some
    journal: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    Journal { id: 7 }.enqueue_create().on(&store).await?;
    let page = Page { id: 1, journal: 7 };
    page.enqueue_create().on(&store).await?;
    let processor = Processor::builder(store)
        .handle::<Journal>(|_| async { Ok(()) })
        .handle::<Page>(|_| async { Ok(()) })
        .build()?;
    let running = processor.start("me");
    let mut outcomes = running.outcomes();
    for expected in ["journal", "page"] {
        let Some(RunOutcome::Delivered { event }) = outcomes.next().await else {
            anyhow::bail!("it was not delivered");
        };
        anyhow::ensure!(event.event_type == expected);
    }
    running.stop().await?;
    Ok(())
}

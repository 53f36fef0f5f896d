//! A user signs out: what happens to undelivered changes?
//!
//! `SignOut::Drain` delivers what it can, `Abandon` deletes, and `Export` writes the undelivered
//! events to a file before it deletes. Other users are not affected.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::SignOut;
use outbox_runtime::prelude::*;

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
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open_in_memory().await?;
    let running = Processor::builder(store.clone())
        .handle::<Mood>(|event| async move {
            match event.user_id.as_str() {
                "grace" => Ok(()),
                _ => Err(HandlerError::unauthenticated()), // the session of ada has expired
            }
        })
        .build()?
        .start_all_users();
    for (id, user) in [(1, "ada"), (2, "ada"), (3, "grace")] {
        let user_id = user.to_owned();
        Mood { id, user_id }.enqueue_create().on(&store).await?;
    }

    let drain = SignOut::Drain {
        deadline: Duration::from_millis(200),
    };
    let left = running.sign_out("ada", drain).await?;
    ensure!(
        left.undelivered == 2,
        "a drain keeps what it cannot deliver"
    );

    let path = folder.path().join("ada.jsonl");
    let gone = running
        .sign_out("ada", SignOut::Export(path.clone()))
        .await?;
    ensure!(gone.exported == 2 && gone.deleted == 2);
    ensure!(std::fs::read_to_string(&path)?.lines().count() == 2);
    ensure!(
        running
            .flush(3, Duration::from_secs(5))
            .await?
            .is_delivered()
    );
    ensure!(store.statistics(Some("grace")).await?.completed_count == 1);
    println!("2 events of ada exported and deleted; grace's event is delivered");

    running.sign_in("ada").await; // later events of ada are delivered again
    running.stop().await?;
    Ok(())
}

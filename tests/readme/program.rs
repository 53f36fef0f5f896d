use std::{sync::atomic::{AtomicBool, Ordering::Relaxed}, time::Duration};

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)] id: i64,
    #[outbox(user_id)] user_id: String,
    #[outbox(metadata)] valence: f64,
}

static ONLINE: AtomicBool = AtomicBool::new(false); // stands for the network

async fn send(event: Event<Mood>) -> Result<(), HandlerError> {
    if !ONLINE.load(Relaxed) {
        return Err(HandlerError::offline());
    }
    println!("PUT /moods/{} {}", event.entity_id, event.metadata().valence);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("app.db").await?; // the file with your own tables
    let processor = Processor::builder(store.clone()).handle::<Mood>(send).build()?;
    let running = processor.start("user-1");

    let id = store.transaction(|tx| {
        tx.execute("CREATE TABLE IF NOT EXISTS mood (id INTEGER PRIMARY KEY, valence REAL)", [])?;
        tx.execute("INSERT INTO mood (valence) VALUES (0.5)", [])?;
        let mood = Mood { id: tx.last_insert_rowid(), user_id: "user-1".into(), valence: 0.5 };
        mood.enqueue_create().on(tx)?; // the row and its event: both are committed, or neither
        Ok(mood.id)
    }).await?;

    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("{}", running.explain(id).await?); // waits: no attempt is used up while offline

    ONLINE.store(true, Relaxed);
    running.online(); // or wait for the next probe, one second after the first failure
    assert!(running.flush(id, Duration::from_secs(5)).await?.is_delivered());
    running.stop().await?;
    Ok(())
}

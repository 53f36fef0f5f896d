use outbox_runtime::prelude::*;
use uuid::Uuid;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
struct MoodEntry {
    #[outbox(entity_id)] id: Uuid,
    #[outbox(user_id)] user_id: String,
    #[outbox(metadata)] valence: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("lume.db").await?; // the file that holds your own tables
    store.transaction(|tx| Ok(tx.execute_batch("CREATE TABLE IF NOT EXISTS mood (id BLOB, valence REAL)")?)).await?;
    let processor = Processor::builder(store.clone()).handle::<MoodEntry>(|event| async move {
        println!("PUT {} under key {}", event.metadata().valence, event.idempotency_key());
        Ok(())
    });
    let running = processor.build()?.start("user-1"); // delivers whatever is committed or due

    let mood = MoodEntry { id: Uuid::now_v7(), user_id: "user-1".into(), valence: 0.5 };
    store.transaction(move |tx| {
        tx.execute("INSERT INTO mood VALUES (?1, ?2)", (mood.id.as_bytes(), mood.valence))?;
        Ok(mood.enqueue_create().on(tx)?) // the entity and its event: both, or neither
    }).await?;
    tokio::signal::ctrl_c().await?;
    Ok(running.stop().await.map(drop)?)
}

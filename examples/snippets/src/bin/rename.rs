//! A type was renamed and another given up: what about the rows that still wait?
use outbox_runtime::{NewEvent, RawMetadata, prelude::*};
use std::time::Duration;
#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", alias = ["mood_entry"])]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: &'static str,
}
#[derive(OutboxEvents)]
#[outbox(retired("legacyMood" = drop, "importedMood" = hold))]
enum LumeEvent {
    MoodEntry(Event<MoodEntry>),
}
struct Sync;
impl LumeEventHandler for Sync {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        println!("delivered as a mood: a row of {}", event.event_type);
        Ok(())
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    for old in ["mood_entry", "legacyMood", "importedMood", "forgotten"] {
        let row = NewEvent::new(old, old, "user-1", Operation::Update);
        let row = row.with_metadata(RawMetadata::from_bytes("{}"));
        store.create_event(row).await?;
    }
    let builder = Processor::builder(store).handlers(LumeEvent::handled_by(Sync));
    let running = builder.build()?.start("user-1");
    for old in ["mood_entry", "legacyMood"] {
        let flushed = running.flush(old, Duration::from_secs(5)).await?;
        anyhow::ensure!(flushed.is_delivered(), "{flushed:?}");
    }
    println!("{}", running.explain("importedMood").await?);
    let unhandled = running.unhandled_types().await?;
    anyhow::ensure!(unhandled.types[0].event_type == "forgotten");
    Ok(running.stop().await.map(drop)?)
}

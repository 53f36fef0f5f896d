//! An event type got a better name, another was given up: what about the rows that still wait?
use anyhow::ensure;
use outbox_runtime::{NewEvent, RunOutcome, prelude::*};

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

struct Send;

impl LumeEventHandler for Send {
    async fn mood_entry(&self, _: Event<MoodEntry>) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    for stored in ["mood_entry", "legacyMood", "importedMood", "forgotten"] {
        let row = NewEvent::new(stored, stored, "user-1", Operation::Delete);
        let row = row.with_metadata(outbox_runtime::RawMetadata::from_bytes("{}"));
        store.create_event(row).await?;
    }
    let handlers = LumeEvent::handled_by(Send);
    let running = Processor::builder(store)
        .handlers(handlers)
        .build()?
        .start("user-1");
    let mut outcomes = running.outcomes();
    for _ in 0..2 {
        match outcomes.next().await {
            Some(RunOutcome::Delivered { event }) => ensure!(event.event_type == "mood_entry"),
            Some(RunOutcome::Retired { event }) => ensure!(event.event_type == "legacyMood"),
            other => anyhow::bail!("{other:?}"),
        }
    }
    println!("{}", running.explain("importedMood").await?);
    println!(
        "nobody handles {:?}",
        running.unhandled_types().await?.types[0].event_type
    );
    Ok(running.stop().await.map(drop)?)
}

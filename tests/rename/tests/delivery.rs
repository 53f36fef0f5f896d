//! Generated code works under any name of the runtime.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outbox_tests_rename::direct::{
    JournalEntry, LumeEvent, LumeEventHandler, LumeEventMetadata, MoodEntry, SyncError,
};
use outbox_tests_rename::facade::outbox::{
    Enqueue, Event, HandlerError, HandlerSet, MemoryStore, OutboxEntity, OutboxEvents, Processor,
};
use outbox_tests_rename::passed_on::{CoachEvent, CoachEventHandler, Goal};

/// An entity of a crate that reaches the runtime only through another crate.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "weight", crate = ::outbox_tests_rename::facade::outbox)]
struct Weight {
    #[outbox(entity_id, user_id)]
    user_id: String,
    #[outbox(metadata)]
    grams: u64,
}

/// A set of this crate's entity and one of the other crate.
#[derive(Debug, OutboxEvents)]
#[outbox(crate = ::outbox_tests_rename::facade::outbox)]
enum BodyEvent {
    Weight(Event<Weight>),
    JournalEntry(Event<JournalEntry>),
}

/// Records arriving events.
#[derive(Debug, Clone, Default)]
struct Remote(Arc<Mutex<Vec<String>>>);

impl Remote {
    fn note(&self, arrival: String) {
        self.arrivals().push(arrival);
    }

    fn arrivals(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LumeEventHandler for Remote {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        self.note(format!("mood {}", event.metadata().valence));
        Err(SyncError::Gone)?
    }

    async fn journal_entry(&self, event: Event<JournalEntry>) -> Result<(), HandlerError> {
        let metadata = LumeEventMetadata::decode(&event)?;
        self.note(format!("journal {metadata:?}"));
        Ok(())
    }
}

impl CoachEventHandler for Remote {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        self.note(format!("mood {}", event.metadata().valence));
        Ok(())
    }

    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        self.note(format!("goal {}", event.metadata().id));
        Ok(())
    }
}

impl BodyEventHandler for Remote {
    async fn weight(&self, event: Event<Weight>) -> Result<(), HandlerError> {
        self.note(format!("weight {}", event.metadata().grams));
        Ok(())
    }

    async fn journal_entry(&self, event: Event<JournalEntry>) -> Result<(), HandlerError> {
        self.note(format!("journal {}", event.metadata().word_count));
        Ok(())
    }
}

/// Delivers the changes, all of user u1 and one entity, and returns what arrived.
async fn delivered(
    handlers: impl FnOnce(Remote) -> HandlerSet,
    changes: [Enqueue; 2],
) -> Result<Vec<String>, Box<dyn Error>> {
    let store = MemoryStore::new();
    for change in changes {
        change.on(&store).await?;
    }
    let remote = Remote::default();
    let running = Processor::builder(store)
        .handlers(handlers(remote.clone()))
        .build()?
        .start("u1");
    let flushed = running.flush("u1", Duration::from_secs(60)).await?;
    assert!(flushed.is_delivered(), "{flushed:?}");
    running.stop().await?;
    let arrivals = remote.arrivals().clone();
    Ok(arrivals)
}

fn mood() -> MoodEntry {
    MoodEntry {
        id: "u1".to_owned(),
        user_id: "u1".to_owned(),
        valence: 0.5,
        notes: "mine".to_owned(),
    }
}

fn journal() -> JournalEntry {
    JournalEntry {
        user_id: "u1".to_owned(),
        word_count: 7,
    }
}

#[tokio::test]
async fn a_renamed_dependency_delivers() -> Result<(), Box<dyn Error>> {
    let changes = [mood().enqueue_sync(), journal().enqueue_update()];
    let arrivals = delivered(LumeEvent::handled_by, changes).await?;
    assert_eq!(arrivals, ["mood 0.5", "journal JournalEntry"]);
    Ok(())
}

#[tokio::test]
async fn a_reexporting_module_delivers() -> Result<(), Box<dyn Error>> {
    let goal = Goal {
        id: "u1".to_owned(),
    };
    let changes = [mood().enqueue_sync(), goal.enqueue_sync()];
    let arrivals = delivered(CoachEvent::handled_by, changes).await?;
    assert_eq!(arrivals, ["mood 0.5", "goal u1"]);
    Ok(())
}

#[tokio::test]
async fn a_reexporting_crate_delivers() -> Result<(), Box<dyn Error>> {
    let weight = Weight {
        user_id: "u1".to_owned(),
        grams: 72_500,
    };
    let changes = [weight.enqueue_sync(), journal().enqueue_delete()];
    let arrivals = delivered(BodyEvent::handled_by, changes).await?;
    assert_eq!(arrivals, ["weight 72500", "journal 7"]);
    Ok(())
}

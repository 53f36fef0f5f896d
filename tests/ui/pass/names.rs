//! A type may have had other names, and a set may have given some up.
#![deny(warnings)]

use outbox_runtime::support::{EventSet as _, Retired, Retirement};
use outbox_runtime::{Event, HandlerError, HandlerSet, OutboxEntity, OutboxEventHandler as _, OutboxEvents};

pub mod names {
    pub const OLDER: &[&str] = &["mood", "Mood"];
    pub const AIM: &str = "aim";
    pub const DRAFT: &str = "draft";
}

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", alias = names::OLDER)]
pub struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", alias = ["Goal", names::AIM])]
pub struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
#[outbox(retired("journal" = drop, names::DRAFT = dead, "chat" = hold))]
pub enum LumeEvent {
    MoodEntry(Event<MoodEntry>),
    Goal(Event<Goal>),
}

struct Sync;

impl LumeEventHandler for Sync {
    async fn mood_entry(&self, _: Event<MoodEntry>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn goal(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    assert_eq!(MoodEntry::OPTIONS.aliases(), ["mood", "Mood"]);
    assert_eq!(Goal::OPTIONS.aliases(), ["Goal", "aim"]);
    assert_eq!(LumeEvent::EVENT_TYPES, ["moodEntry", "goal"]);
    let retired = [
        Retired::new("journal", Retirement::Drop),
        Retired::new("draft", Retirement::Dead),
        Retired::new("chat", Retirement::Hold),
    ];
    assert_eq!(LumeEvent::RETIRED, retired);

    let handlers: HandlerSet = LumeEvent::handled_by(Sync);
    for handled in ["moodEntry", "mood", "Mood", "goal", "Goal", "aim"] {
        assert!(handlers.can_handle(handled), "{handled}");
    }
    assert!(!handlers.can_handle("journal"));
    assert_eq!(handlers.retired(), retired);
    let _ = MoodEntry { id: 1, user_id: "u".into() }.enqueue_sync();
    let _ = Goal { id: 1, user_id: "u".into() }.enqueue_sync();
}

//! `#[cfg(..)]` on fields, and on variants of sets and errors: disabled items do not appear in
//! generated code.
#![deny(warnings)]
#![allow(dead_code)]

use outbox_runtime::{Delivery, DeliveryError, Event, HandlerError, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
#[cfg_attr(all(), outbox(priority = 7))]
#[cfg_attr(any(), outbox(priority = 8))]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[cfg(all())]
    #[outbox(metadata)]
    title: String,
    #[cfg(any())]
    #[outbox(metadata)]
    absent: Absent,
    #[cfg(any())]
    #[outbox(entity_id)]
    other_id: Absent,
    #[cfg_attr(all(), outbox(metadata))]
    steps: u32,
    #[cfg_attr(any(), outbox(metadata))]
    notes: String,
}

#[cfg(all())]
#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    #[cfg(any())]
    Absent(Event<Absent>),
    #[cfg(all())]
    Goal(Event<Goal>),
    Mood(#[cfg(all())] Event<Mood>, #[cfg(any())] Absent),
    #[cfg(any())]
    Generic(Event<Absent>),
}

#[derive(Debug, thiserror::Error, DeliveryError)]
enum SyncError {
    #[error("gone")]
    #[cfg_attr(all(), outbox(obsolete))]
    #[cfg_attr(any(), outbox(retry))]
    Gone,
    #[cfg(any())]
    Absent(Absent),
}

struct LumeSync;

impl LumeEventHandler for LumeSync {
    async fn goal(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn mood(&self, _: Event<Mood>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["goal", "mood"]);
    assert_eq!(Goal::OPTIONS.priority(), 7);
    assert_eq!(SyncError::Gone.delivery(), Delivery::Obsolete);

    let (title, notes) = ("swim".to_owned(), "not sent".to_owned());
    let goal = Goal { id: 1, user_id: "user-1".to_owned(), title, steps: 3, notes };
    let event = goal.enqueue_sync().into_event().unwrap();
    assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"title":"swim","steps":3}"#));
    let metadata = LumeEventMetadata::Goal(GoalMetadata { title: goal.title, steps: 3 });
    match metadata {
        LumeEventMetadata::Goal(_) | LumeEventMetadata::Mood(_) | LumeEventMetadata::Generic(_) => {}
    }
    let _ = LumeEvent::handled_by(LumeSync);
}

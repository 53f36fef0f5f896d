//! Two sets share an entity; a set in another module than its entities; one handler for both.
#![deny(warnings)]

mod entities {
    use outbox_runtime::OutboxEntity;

    #[derive(OutboxEntity)]
    #[outbox(event_type = "goal")]
    pub struct Goal {
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "mood")]
    pub struct Mood {
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    // The name of the other's, and an event type of its own.
    pub mod archive {
        #[derive(outbox_runtime::OutboxEntity)]
        #[outbox(event_type = "archivedMood")]
        pub struct Mood {
            #[outbox(entity_id, user_id)]
            pub id: String,
        }
    }
}

mod sets {
    use outbox_runtime::{Event, OutboxEvents};

    use super::entities::{archive, Goal, Mood};

    #[derive(OutboxEvents)]
    pub enum LumeEvent {
        Goal(Event<Goal>),
        Mood(Event<Mood>),
        ArchivedMood(Event<archive::Mood>),
    }

    #[derive(OutboxEvents)]
    pub enum CoachEvent {
        Target(Event<Goal>),
    }
}

use entities::{Goal, Mood, archive};
use outbox_runtime::{Event, HandlerError, OutboxEventHandler};
use sets::{CoachEvent, CoachEventHandler, LumeEvent, LumeEventHandler};

#[derive(Clone)]
struct Sync;

impl LumeEventHandler for Sync {
    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        self.target(event).await
    }

    async fn mood(&self, _: Event<Mood>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn archived_mood(&self, _: Event<archive::Mood>) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl CoachEventHandler for Sync {
    async fn target(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["goal", "mood", "archivedMood"]);
    assert_eq!(CoachEvent::EVENT_TYPES, ["goal"]);
    assert!(LumeEvent::handled_by(Sync).can_handle("archivedMood"));
    assert!(!CoachEvent::handled_by(Sync).can_handle("mood"));
}

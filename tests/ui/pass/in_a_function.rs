//! The derives also stand where the user's module cannot be named.
use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

fn main() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "goal")]
    struct Goal {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        title: String,
    }

    #[derive(OutboxEvents)]
    enum LumeEvent {
        Goal(Event<Goal>),
    }

    assert_eq!(LumeEvent::EVENT_TYPES, ["goal"]);
}

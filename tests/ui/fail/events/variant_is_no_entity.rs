//! What a variant holds must be an entity.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

struct Plain;

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
    Plain(Event<Plain>),
}

fn main() {
    let _ = LumeEvent::EVENT_TYPES;
}

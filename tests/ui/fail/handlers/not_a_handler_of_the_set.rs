//! What `handled_by` takes implements the set's trait.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

struct LumeSync;

fn main() {
    let _ = LumeEvent::handled_by(LumeSync);
}

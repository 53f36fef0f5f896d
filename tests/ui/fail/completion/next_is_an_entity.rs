//! An event is superseded by a change, not by an entity.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(store: MemoryStore, event: Event<Goal>, goal: Goal) -> Result<(), HandlerError> {
    event.supersede_on(&store, goal).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

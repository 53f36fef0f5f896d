//! A handler completes the event that it received, not a change.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(store: MemoryStore, goal: Goal) -> Result<(), HandlerError> {
    goal.enqueue_update().complete_on(&store).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

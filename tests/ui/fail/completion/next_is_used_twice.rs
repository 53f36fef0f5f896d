//! A change supersedes one event.

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
    let next = goal.enqueue_update();
    event.supersede_on(&store, next).await?;
    event.supersede_on(&store, next).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

//! An event is superseded on a store or a transaction.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(event: Event<Goal>, goal: Goal) -> Result<(), HandlerError> {
    event.supersede_on("lume.db", goal.enqueue_update()).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

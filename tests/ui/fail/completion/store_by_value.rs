//! A store is passed by reference.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(store: MemoryStore, event: Event<Goal>) -> Result<(), HandlerError> {
    event.complete_on(store).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

//! A handler completes the event, not its metadata.

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
    event.metadata().complete_on(&store).await?;
    Ok(())
}

fn main() {
    let _ = send;
}

//! An event is completed on a store or a connection.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(event: Event<Goal>) -> Result<(), HandlerError> {
    event.complete_on("lume.db").await?;
    Ok(())
}

fn main() {
    let _ = send;
}

//! A transaction is passed by reference, so that it can be committed.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn complete(
    tx: outbox_runtime::rusqlite::Transaction<'_>,
    event: &Event<Goal>,
) -> Result<(), HandlerError> {
    event.complete_on(tx)?;
    Ok(())
}

fn main() {
    let _ = complete;
}

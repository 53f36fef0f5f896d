//! What `?` is used on must be an error that says what to do, which a string is not.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn check(event: &Event<Goal>) -> Result<(), String> {
    Err(format!("{} is not ready", event.entity_id))
}

fn main() {
    let _ = Processor::builder(MemoryStore::new()).handle::<Goal>(|event| async move {
        check(&event)?;
        Ok(())
    });
}

//! `handlers` takes the set that `handled_by` makes of a handler.

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

impl LumeEventHandler for LumeSync {
    async fn goal(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    let _ = Processor::builder(MemoryStore::new()).handlers(LumeSync);
}

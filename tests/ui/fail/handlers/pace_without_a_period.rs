//! A pace has a period.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let _ = Processor::builder(MemoryStore::new())
        .handle::<Goal>(|_| async { Ok(()) })
        .pace("api.example.com", 10);
}

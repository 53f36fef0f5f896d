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
    let batching = outbox_runtime::Batching::of(100);
    let _ = Processor::builder(MemoryStore::new()).handle_batch::<Goal>(batching, "a function");
}

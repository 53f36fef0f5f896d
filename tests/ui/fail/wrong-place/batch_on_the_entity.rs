use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", batch = 100)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

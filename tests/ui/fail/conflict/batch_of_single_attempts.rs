use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", max_attempts = 1)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    #[outbox(batch = 100)]
    Goal(Event<Goal>),
}

fn main() {}

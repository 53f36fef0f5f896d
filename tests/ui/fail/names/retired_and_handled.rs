use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
#[outbox(retired("goal" = drop))]
enum LumeEvent {
    Goal(Event<Goal>),
}

fn main() {}

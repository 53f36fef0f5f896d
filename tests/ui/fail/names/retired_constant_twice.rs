use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

const AIM: &str = "aim";

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
#[outbox(retired("aim" = hold, AIM = drop))]
enum LumeEvent {
    Goal(Event<Goal>),
}

fn main() {}

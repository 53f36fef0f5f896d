use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "steps", expires_after = "10s")]
struct Steps {
    #[outbox(entity_id)]
    hour: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum FitEvent {
    #[outbox(batch = 100, within = "30s")]
    Steps(Event<Steps>),
}

fn main() {}

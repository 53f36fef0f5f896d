use outbox_runtime::OutboxEntity;
use std::time::Duration;

const NEVER: Duration = Duration::ZERO;

#[derive(OutboxEntity)]
#[outbox(event_type = "reminder", expires_after = NEVER)]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "reminder", snapshot, coalesce = "latest", expires_after = "7d")]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

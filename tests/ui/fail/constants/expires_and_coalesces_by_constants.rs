use outbox_runtime::{Coalesce, OutboxEntity};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "reminder", snapshot, coalesce = Coalesce::Latest, expires_after = "7d")]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "moodEntry", snapshot)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(sensitive)]
    notes: String,
}

fn main() {}

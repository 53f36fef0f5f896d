use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "moodEntry", snapshot, metadata = "MoodChange")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
}

fn main() {}

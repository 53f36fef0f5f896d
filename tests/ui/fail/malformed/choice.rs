use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "moodEntry", snapshot, order = "entitiy", on_dead = "bury", coalesce = "last")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

const MOOD_ENTRY: &str = "";

#[derive(OutboxEntity)]
#[outbox(event_type = MOOD_ENTRY)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

const PRIORITY: u8 = 5;
const TIMEOUT: u64 = 30;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = PRIORITY, timeout = TIMEOUT)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

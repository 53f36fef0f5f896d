use outbox_runtime::OutboxEntity;

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", timeout = TIMEOUT, lease = "30s")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

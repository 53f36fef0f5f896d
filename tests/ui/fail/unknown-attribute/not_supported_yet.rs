use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", lease = "1m", order = "user", version = 2)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id, sensitive)]
    user_id: String,
}

fn main() {}

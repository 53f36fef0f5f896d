use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id, priority = 5)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

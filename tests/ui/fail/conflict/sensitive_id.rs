use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id, sensitive)]
    id: i64,
    #[outbox(user_id, metadata, sensitive)]
    user_id: String,
}

fn main() {}

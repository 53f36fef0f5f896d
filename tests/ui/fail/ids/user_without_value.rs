use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", user_id)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    user_id: String,
}

fn main() {}

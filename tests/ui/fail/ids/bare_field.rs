use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", entity_id = id)]
struct MoodEntry {
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

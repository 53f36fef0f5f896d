use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id = true)]
    id: i64,
    #[outbox(user_id("yes"))]
    user_id: String,
}

fn main() {}

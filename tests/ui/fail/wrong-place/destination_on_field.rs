use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(destination)]
    host: String,
}

fn main() {}

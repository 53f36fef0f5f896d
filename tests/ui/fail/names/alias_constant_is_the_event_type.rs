use outbox_runtime::OutboxEntity;

const NAMES: &[&str] = &["mood", "moodEntry"];

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", alias = NAMES)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

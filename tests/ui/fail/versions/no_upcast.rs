use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
#[outbox(version = 2)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn main() {}

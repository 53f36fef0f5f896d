use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(
    event_type = 5,
    display_name = Mood,
    priority = "high",
    max_attempts = -1,
    retry = "1s",
    timeout = 30
)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn main() {}

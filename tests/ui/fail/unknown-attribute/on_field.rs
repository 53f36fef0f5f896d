use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_ids)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(colour)]
    valence: f64,
}

fn main() {}

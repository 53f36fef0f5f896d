use outbox_runtime::OutboxEntity;

#[derive(Debug, Clone)]
struct MoodMetadata {
    other: u8,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn main() {}

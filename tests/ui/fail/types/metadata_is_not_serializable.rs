use outbox_runtime::OutboxEntity;

#[derive(Debug, Clone)]
struct Colour;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    colours: Vec<Colour>,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(Debug, Clone)]
struct Colour;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata, sensitive)]
    colours: Vec<Colour>,
}

fn main() {}

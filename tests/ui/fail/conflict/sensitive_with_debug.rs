use outbox_runtime::OutboxEntity;

#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata, sensitive)]
    notes: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged")]
#[derive(Debug)]
struct Tagged<T> {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata, sensitive)]
    tag: T,
}

fn main() {}

use outbox_runtime::OutboxEntity;

const RETRY: &[std::time::Duration] = &[];

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", retry = RETRY)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

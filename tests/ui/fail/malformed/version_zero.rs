use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", version = 0)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", version = 2, upcast(0 = V0))]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

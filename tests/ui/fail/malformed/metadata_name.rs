use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", metadata)]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", metadata = "Goal change")]
struct Goal {
    #[outbox(entity_id, user_id)]
    id: String,
}

fn main() {}

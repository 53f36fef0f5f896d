use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", destinaton = "eu", max_snooze = 3, charges = "always")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

const NONE: u32 = 0;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", max_snoozes = NONE)]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
}

fn main() {}

use outbox_runtime::{EntityId, OutboxEntity};

#[derive(EntityId)]
struct MoodId(u64);

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: MoodId,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

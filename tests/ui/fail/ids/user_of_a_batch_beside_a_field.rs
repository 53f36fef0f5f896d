use outbox_runtime::{OutboxEntity, enqueue_all};

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let moods: [MoodEntry; 0] = [];
    let _ = enqueue_all(&moods).for_user("user-2");
}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", user_id = "shop")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
}

fn main() {
    let _ = MoodEntry { id: 7 }.enqueue_create().for_user("user-2");
}

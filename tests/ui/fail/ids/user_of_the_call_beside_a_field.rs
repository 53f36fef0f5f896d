use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let mood = MoodEntry {
        id: 7,
        user_id: "user-1".into(),
    };
    let _ = mood.enqueue_create().for_user("user-2");
}

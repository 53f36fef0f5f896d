use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
}

fn main() {
    let _ = MoodEntry { id: 7 }.enqueue_create().priority(1).into_event();
}

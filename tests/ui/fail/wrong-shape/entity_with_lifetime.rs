use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry<'a> {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'a str,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", user_id = self.is_ours())]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
}

impl MoodEntry {
    fn is_ours(&self) -> bool {
        true
    }
}

fn main() {}

use outbox_runtime::OutboxEntity;

struct Key;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", entity_id = self.key())]
struct MoodEntry {
    #[outbox(user_id)]
    user_id: String,
}

impl MoodEntry {
    fn key(&self) -> Key {
        Key
    }
}

fn main() {}

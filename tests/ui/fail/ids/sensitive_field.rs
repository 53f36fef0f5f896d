use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", user_id = self.email.clone())]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(metadata, sensitive)]
    email: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", destination = format!("{}/v1", self.host.trim()))]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata, sensitive)]
    host: String,
}

fn main() {}

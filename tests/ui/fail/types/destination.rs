use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", destination = self.region)]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    region: u32,
}

fn main() {}

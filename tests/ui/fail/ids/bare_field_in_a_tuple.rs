use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", entity_id = (self.tenant, number))]
struct MoodEntry {
    tenant: String,
    number: u32,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", entity_id = self.tenant_and_number())]
struct MoodEntry {
    tenant: String,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

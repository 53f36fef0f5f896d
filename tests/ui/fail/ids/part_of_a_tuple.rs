use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", entity_id = (self.tenant, self.share))]
struct MoodEntry {
    tenant: String,
    share: f64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

mod names {
    pub const MOOD_ENTRY: &str = "mood\u{85}entry";
}

#[derive(OutboxEntity)]
#[outbox(event_type = names::MOOD_ENTRY)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

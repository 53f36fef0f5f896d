//! Only what owns its parts can be read from a row.
use outbox_runtime::OutboxEntity;
use std::borrow::Cow;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    name: &'static str,
    #[outbox(metadata)]
    labels: Option<(u8, Vec<&'static str>)>,
    #[outbox(metadata)]
    owned: Cow<'static, str>,
    #[outbox(metadata)]
    flags: [u8; 3 & 1],
}

fn main() {}

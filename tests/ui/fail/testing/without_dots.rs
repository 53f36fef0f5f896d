//! A pattern ends with two dots.

use outbox_runtime::prelude::*;
use outbox_testing::assert_enqueued;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

async fn check(store: &MemoryStore) {
    assert_enqueued!(store, MoodEntry { valence: 0.5 });
}

fn main() {}

//! Everything that is generated is documented.
#![deny(missing_docs, missing_debug_implementations)]

use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

/// A mood.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "moodEntry")]
pub struct MoodEntry {
    /// The id.
    #[outbox(entity_id)]
    pub id: i64,
    /// The user.
    #[outbox(user_id)]
    pub user_id: String,
    /// From -1 to 1.
    #[outbox(metadata)]
    pub valence: f64,
    /// In the user's words.
    #[outbox(metadata)]
    pub labels: Vec<String>,
}

/// The set.
#[derive(Debug, OutboxEvents)]
pub enum LumeEvent {
    /// A mood.
    MoodEntry(Event<MoodEntry>),
}

fn main() {}

//! The module has a type of the name that the metadata gets. The first error says which; `metadata = "MoodCarried"` is the way out, as
//! `ui/pass/metadata_name.rs` shows.

use outbox_runtime::prelude::*;

#[derive(Debug, Clone)]
pub struct MoodMetadata {
    pub source: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
pub struct Mood {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub valence: f64,
}

fn main() {}

//! The module has a type with the name of the metadata struct. The first error names it; the remedy
//! is `metadata = "MoodCarried"`, as in `ui/pass/metadata_name.rs`.

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

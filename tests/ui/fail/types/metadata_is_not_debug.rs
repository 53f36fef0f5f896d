//! The type of a metadata field does not implement `Debug`, which the metadata struct needs.

use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Colour {
    pub name: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "painting")]
pub struct Painting {
    #[outbox(entity_id)]
    pub id: String,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub colour: Colour,
}

fn main() {}

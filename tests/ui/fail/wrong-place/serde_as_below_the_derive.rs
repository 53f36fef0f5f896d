//! What `serde_as` does to fields is not seen by a derive above it.

use outbox_runtime::prelude::*;
use outbox_tests_rival::serde_as;

#[derive(OutboxEntity)]
#[serde_as]
#[outbox(event_type = "reading")]
struct Reading {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    #[serde_as(as = "DisplayFromStr")]
    value: u64,
}

fn main() {}

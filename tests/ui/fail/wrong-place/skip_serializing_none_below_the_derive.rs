//! What an attribute of another crate does to fields is not seen by a derive above it.

use outbox_runtime::prelude::*;
use outbox_tests_rival::skip_serializing_none;

#[derive(serde::Serialize, serde::Deserialize, OutboxEntity)]
#[skip_serializing_none]
#[outbox(event_type = "reading", snapshot)]
struct Reading {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    value: Option<u64>,
}

fn main() {}

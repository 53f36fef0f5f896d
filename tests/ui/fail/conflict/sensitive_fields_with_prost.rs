//! The derive and prost both implement `Debug` for an entity with sensitive fields.

use outbox_runtime::prelude::*;
use outbox_tests_rival::Message;

#[derive(Clone, PartialEq, Message, OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    #[prost(int64, tag = "1")]
    id: i64,
    #[outbox(user_id)]
    #[prost(string, tag = "2")]
    user_id: String,
    #[outbox(metadata, sensitive)]
    #[prost(string, tag = "3")]
    text: String,
}

fn main() {}

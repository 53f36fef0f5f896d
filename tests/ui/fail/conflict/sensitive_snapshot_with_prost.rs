//! A message of prost has a `Debug` already, and that shows everything.

use outbox_runtime::prelude::*;
use outbox_tests_rival::Message;

#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize, Message, OutboxEntity)]
#[outbox(event_type = "note", snapshot)]
struct Note {
    #[outbox(entity_id)]
    #[prost(int64, tag = "1")]
    id: i64,
    #[outbox(user_id)]
    #[prost(string, tag = "2")]
    user_id: String,
    #[outbox(sensitive)]
    #[prost(string, tag = "3")]
    text: String,
}

fn main() {}

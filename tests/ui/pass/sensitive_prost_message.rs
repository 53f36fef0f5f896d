//! A message of prost that leaves `Debug` to the entity.

use outbox_runtime::prelude::*;
use outbox_tests_rival::Message;

#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize, Message, OutboxEntity)]
#[outbox(event_type = "note", snapshot)]
#[prost(skip_debug)]
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

fn main() {
    let note = Note { id: 1, user_id: "user-1".into(), text: "hidden".into() };
    assert!(!format!("{note:?}").contains("hidden"));
}

//! Serde defaults belong on the fields, because the metadata is a different struct.

use outbox_runtime::OutboxEntity;

#[derive(Default, OutboxEntity)]
#[serde(rename_all = "camelCase", default)]
#[outbox(event_type = "reading")]
struct Reading {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    last_value: u64,
}

fn main() {}

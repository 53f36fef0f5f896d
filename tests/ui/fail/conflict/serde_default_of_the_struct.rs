//! What serde takes for a field that is missing is said on the field: the metadata is not the struct.

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

//! Above the derive, `serde_as` has done its work.

use outbox_runtime::prelude::*;
use outbox_tests_rival::serde_as;

#[serde_as]
#[derive(OutboxEntity)]
#[outbox(event_type = "reading")]
struct Reading {
    #[outbox(entity_id)]
    id: u32,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    #[serde_as(as = "DisplayFromStr")]
    value: u64,
}

fn main() {
    let reading = Reading { id: 1, user_id: "user-1".into(), value: 2 };
    assert!(reading.enqueue_create().into_event().is_ok());
}

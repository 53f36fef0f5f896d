//! On a store, nothing is completed until the future is awaited.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[deny(unused_must_use)]
fn complete(store: &SqliteStore, event: &Event<Goal>) {
    event.complete_on(store);
}

fn main() {
    let _ = complete;
}

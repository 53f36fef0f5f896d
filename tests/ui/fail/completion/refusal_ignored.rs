//! A refused completion rolls the transaction back, so its result is not ignored.

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
fn complete(tx: &outbox_runtime::rusqlite::Transaction<'_>, event: &Event<Goal>) {
    event.complete_on(tx);
}

fn main() {
    let _ = complete;
}

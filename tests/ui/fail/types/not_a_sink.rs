//! Events are enqueued on a store or a connection, by reference.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let note = Note { id: 1, user_id: String::new() };
    let _ = note.enqueue_sync().on("lume.db");
}

//! Many events are enqueued on a store or a connection, by reference, too.

use outbox_runtime::enqueue_all;
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
    let _ = enqueue_all(&[note]).on("lume.db");
}

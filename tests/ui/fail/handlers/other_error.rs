//! A handler answers with a `HandlerError`, which says what to do; not with any error.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(_: Event<Note>) -> Result<(), std::io::Error> {
    Ok(())
}

fn main() {
    let _ = Processor::builder(MemoryStore::new()).handle::<Note>(send);
}

//! `?` needs to know what the runtime does about an error.

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
    let _ = Processor::builder(MemoryStore::new()).handle::<Note>(|event| async move {
        let _: i32 = event.user_id.parse()?;
        Ok(())
    });
}

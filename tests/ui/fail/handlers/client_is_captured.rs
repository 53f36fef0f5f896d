//! A closure that moves its client out can be called only once; the remedy is `handle_with`.

use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(Clone)]
struct Client;

impl Client {
    async fn put(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    let client = Client;
    let _ = Processor::builder(MemoryStore::new())
        .handle::<Goal>(move |event| async move { client.put(event).await });
}

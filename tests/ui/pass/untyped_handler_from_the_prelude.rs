//! The prelude is enough for an untyped handler, and for the words of `order` and its like.

use outbox_runtime::prelude::*;

struct Relay;

#[async_trait]
impl OutboxEventHandler for Relay {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

const ORDER: Order = Order::User;

#[derive(OutboxEntity, serde::Serialize, serde::Deserialize)]
#[outbox(event_type = "goal", snapshot, order = ORDER, on_dead = OnDead::Skip, coalesce = Coalesce::Latest)]
struct Goal {
    #[outbox(entity_id)]
    id: i32,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let _ = Processor::builder(MemoryStore::new()).handler(Relay);
    let _ = Goal { id: 1, user_id: "user-1".into() }.enqueue_create();
}

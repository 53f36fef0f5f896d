use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

struct Service;

impl LumeEventHandler for Service {
    async fn goal(&self, _: Batch<Event<Goal>>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}

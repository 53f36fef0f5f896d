use outbox_runtime::{Event, HandlerError, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_typ = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    title: String,
}

#[derive(OutboxEvents)]
#[outbox(create = ::outbox_runtime)]
enum LumeEvent {
    Goal(Event<Goal>),
}

struct LumeSync;

impl LumeEventHandler for LumeSync {
    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        println!("{}", event.metadata().title);
        Ok(())
    }
}

fn main() {
    println!("{:?} {:?}", LumeEvent::EVENT_TYPES, LumeEvent::handled_by(LumeSync));
}

use outbox_runtime::{Event, HandlerError, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

struct LumeSync;

impl LumeEventHandler for LumeSync {
    async fn goal(&self, _: Event<Goal>) -> Result<(), HandlerError> {
        let local = std::rc::Rc::new(());
        std::future::ready(()).await;
        drop(local);
        Ok(())
    }
}

fn main() {}

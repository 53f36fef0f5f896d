use outbox_runtime::{Event, HandlerError, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "type")]
struct Type {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "crate")]
struct Crate {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum Keyword {
    Type(Event<Type>),
    Crate(Event<Crate>),
}

struct Handler;

impl KeywordHandler for Handler {
    async fn r#type(&self, _: Event<Type>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn crate_(&self, _: Event<Crate>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    let _ = Keyword::handled_by(Handler);
}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "a", destination = "")]
struct Empty {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "b", destination = "eu\n")]
struct ControlCharacter {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "c", destination = 7)]
struct Number {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "d", destination)]
struct NoValue {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "f", destination = host)]
struct FieldAlone {
    #[outbox(entity_id, user_id)]
    id: String,
    host: String,
}

fn main() {}

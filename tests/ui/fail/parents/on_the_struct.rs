use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me", after = Journal)]
struct Page {
    #[outbox(entity_id)]
    id: i64,
}

fn main() {}

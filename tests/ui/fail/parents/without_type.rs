use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after)]
    journal: i64,
}

fn main() {}

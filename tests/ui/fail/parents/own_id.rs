use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id, after = Page)]
    id: i64,
}

fn main() {}

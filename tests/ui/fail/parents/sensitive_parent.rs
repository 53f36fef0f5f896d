use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "journal", user_id = "me")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Journal, metadata, sensitive)]
    journal: i64,
}

fn main() {}

use outbox_runtime::OutboxEntity;
use uuid::Uuid;

#[derive(OutboxEntity)]
#[outbox(event_type = "journal", user_id = "me")]
struct Journal {
    #[outbox(entity_id)]
    id: Uuid,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Journal)]
    journal_row: Option<i64>,
}

/// A string may be the text of a UUID, so this compiles.
#[derive(OutboxEntity)]
#[outbox(event_type = "photo", user_id = "me")]
struct Photo {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Journal)]
    journal_id: Option<String>,
}

fn main() {}

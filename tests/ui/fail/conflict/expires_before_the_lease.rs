use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "reminder", timeout = "30s", lease = "5m", expires_after = "1m")]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "reminder", retry = ["1h", "2h"], expires_after = "10m")]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

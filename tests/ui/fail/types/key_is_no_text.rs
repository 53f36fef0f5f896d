use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "reminder")]
struct Reminder {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn enqueue(reminder: &Reminder) {
    let _ = reminder.enqueue_create().key(7);
}

fn main() {}

use outbox_runtime::OutboxEntity;

struct Journal;

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
}

fn main() {
    let _ = Page { id: 1 }.enqueue_create().after::<Journal>(7);
}

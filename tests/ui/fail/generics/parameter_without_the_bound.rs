//! What a parameter stands for must be metadata when the entity is enqueued.

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged")]
struct Tagged<T> {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    tag: T,
}

struct Colour;

fn main() {
    let tagged = Tagged { id: "a".to_owned(), tag: Colour };
    let _ = tagged.enqueue_sync();
}

//! What no parameter decides about is refused where it stands.

use outbox_runtime::OutboxEntity;

#[derive(Debug, Clone)]
struct Colour;

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged")]
struct Tagged<T> {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    tag: T,
    #[outbox(metadata)]
    colours: Vec<Colour>,
}

fn main() {
    let tagged = Tagged { id: "a".to_owned(), tag: 1, colours: Vec::new() };
    let _ = tagged.enqueue_sync();
}

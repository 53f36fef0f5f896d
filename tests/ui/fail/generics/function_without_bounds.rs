//! A function that is generic over an entity asks for what the entity asks for.

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged")]
struct Tagged<T> {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    tag: T,
}

fn send<T: serde::Serialize + serde::de::DeserializeOwned>(tagged: &Tagged<T>) {
    let _ = tagged.enqueue_sync();
}

fn main() {}

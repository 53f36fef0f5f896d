//! One mistake is one error: everything that the rest of the program names is there.

use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged", prioritty = 5)]
struct Tagged<T: Clone, Local>
where
    Local: Default,
{
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    tag: Vec<T>,
    local: Local,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    Tagged(Event<Tagged<String, u8>>),
}

fn main() {
    let tagged = Tagged { id: "a".to_owned(), tag: vec![1], local: 2 };
    let _ = tagged.enqueue_sync();
    let tags = |metadata: &TaggedMetadata<String>| metadata.tag.len();
    let _ = tags;
}

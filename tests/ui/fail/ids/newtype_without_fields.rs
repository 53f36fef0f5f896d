use outbox_runtime::EntityId;

#[derive(Clone, EntityId)]
struct Id;

fn main() {}

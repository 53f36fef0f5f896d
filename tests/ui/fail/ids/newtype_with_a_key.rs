use outbox_runtime::EntityId;

#[derive(Clone, EntityId)]
struct OrderId(#[outbox(entity_id)] u64);

fn main() {}

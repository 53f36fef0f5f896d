use outbox_runtime::EntityId;

#[derive(Clone, EntityId)]
struct OrderLine(u64, u32);

fn main() {}

use outbox_runtime::EntityId;

#[derive(Clone, EntityId)]
struct Share(f64);

fn main() {}

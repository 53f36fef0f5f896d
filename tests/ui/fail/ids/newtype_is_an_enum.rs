use outbox_runtime::EntityId;

#[derive(Clone, EntityId)]
enum Id {
    Number(u64),
}

fn main() {}

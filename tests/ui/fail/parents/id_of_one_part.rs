use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "order", user_id = "shop", entity_id = (self.tenant, self.number))]
struct Order {
    tenant: String,
    number: u32,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "line", user_id = "shop")]
struct Line {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Order)]
    order: u32,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "parcel", user_id = "shop")]
struct Parcel {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Order)]
    order: (String, u32),
}

fn main() {}

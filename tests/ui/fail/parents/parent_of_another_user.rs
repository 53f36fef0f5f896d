use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "stock", user_id = "shop")]
struct Stock {
    #[outbox(entity_id)]
    sku: i64,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "order")]
struct Order {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user: String,
    #[outbox(after = Stock)]
    sku: i64,
}

/// Of the same user, which compiles.
#[derive(OutboxEntity)]
#[outbox(event_type = "delivery", user_id = "shop")]
struct Delivery {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Stock)]
    sku: i64,
}

/// The compiler does not know whether this is the same user.
const SHOP: &str = "shop";

#[derive(OutboxEntity)]
#[outbox(event_type = "return", user_id = SHOP)]
struct Return {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Stock)]
    sku: i64,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "a", version = 2, upcast)]
struct A {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "b", version = 2, upcast())]
struct B {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "c", version = 2, upcast = V1)]
struct C {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "d", version = 2, upcast(V1))]
struct D {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "e", version = 2, upcast(1))]
struct E {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "f", version = 2, upcast(1 = "V1"))]
struct F {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "g", version = 3, upcast(1 = V1 2 = V2))]
struct G {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {}

use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", snapshot)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    let goal = Goal { id: 1, user_id: String::new() };
    let _ = goal.enqueue_sync();
}

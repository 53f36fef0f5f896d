use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "a", charge = "alway", max_snoozes = 0)]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "b", charge = true, max_snoozes = 4_294_967_296)]
struct Goal {
    #[outbox(entity_id, user_id)]
    id: String,
}

fn main() {}

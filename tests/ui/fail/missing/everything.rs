use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
struct MoodEntry {
    id: i64,
    user_id: String,
}

fn main() {}

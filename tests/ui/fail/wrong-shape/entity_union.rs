use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
union MoodEntry {
    id: i64,
}

fn main() {}

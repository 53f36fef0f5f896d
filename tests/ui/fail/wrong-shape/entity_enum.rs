use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
enum MoodEntry {
    Good,
}

fn main() {}

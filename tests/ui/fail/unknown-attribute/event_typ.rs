use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_typ = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn main() {
    let mood = MoodEntry { id: 7, user_id: "user-1".to_owned(), valence: 0.5 };
    let _ = mood.enqueue_sync();
    let _ = MoodEntryMetadata { valence: 0.5 }.valence;
}

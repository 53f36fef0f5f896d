use outbox_runtime::OutboxEntity;

#[derive(serde::Deserialize)]
struct V1 {
    valence: f32,
}

impl From<V1> for MoodEntryMetadata {
    fn from(old: V1) -> Self {
        Self {
            valence: old.valence.into(),
        }
    }
}

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
#[outbox(version = 2, upcast(1 = V1, 1 = V1))]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn main() {}

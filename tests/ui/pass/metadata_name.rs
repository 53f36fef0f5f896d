//! A name of one's own for the metadata struct, beside one that has the usual name.
#![deny(warnings)]

use outbox_runtime::OutboxEntity;

/// Somebody was here first.
pub struct MoodMetadata;

/// And here.
pub struct TaggedMetadata;

#[derive(OutboxEntity)]
#[outbox(event_type = "mood", metadata = "MoodChange")]
pub struct Mood {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub valence: f64,
    #[outbox(metadata, sensitive)]
    pub notes: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged", metadata = "TagChange")]
#[serde(rename_all = "camelCase")]
pub struct Tagged<T> {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub last_tag: T,
}

fn main() {
    let mood = Mood { id: 1, user_id: "u".to_owned(), valence: 0.5, notes: "n".to_owned() };
    let change: MoodChange = mood.metadata_json().unwrap().decode().unwrap();
    assert_eq!(format!("{change:?}"), "MoodChange { valence: 0.5, notes: [redacted] }");
    let tagged = Tagged { id: 1, user_id: "u".to_owned(), last_tag: 7_u8 };
    let change: TagChange<u8> = tagged.metadata_json().unwrap().decode().unwrap();
    assert_eq!(change.last_tag, 7);
    let _ = (MoodMetadata, TaggedMetadata);
}

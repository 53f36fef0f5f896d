//! A lint allowed on an entity, such as for naming style, is allowed in the generated code.
#![deny(warnings)]

use outbox_runtime::prelude::*;

#[allow(non_snake_case)]
#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
pub struct MoodEntry {
    #[outbox(entity_id)]
    pub entityId: i64,
    #[outbox(user_id)]
    pub userId: String,
    #[outbox(metadata)]
    pub lastMood: u8,
    #[outbox(metadata, sensitive)]
    pub noteText: String,
}

#[allow(non_snake_case, non_camel_case_types)]
#[derive(OutboxEntity)]
#[outbox(event_type = "by_serde")]
#[serde(rename_all = "UPPERCASE")]
pub struct by_serde {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub lastMood: u8,
}

#[allow(non_camel_case_types)]
#[derive(OutboxEvents)]
pub enum events {
    mood_entry(Event<MoodEntry>),
    XMLThing(Event<by_serde>),
}

fn main() {
    let mood = MoodEntry { entityId: 1, userId: "u".into(), lastMood: 2, noteText: "a".into() };
    assert_eq!(mood.metadata_json().unwrap().as_str(), Some(r#"{"lastMood":2,"noteText":"a"}"#));
}

//! The enqueued entity, and the columns that the floor writes for it.

use outbox_contest::Mood;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The entity of every measurement. One event takes about 320 bytes on disk, indices included.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
pub(crate) struct MoodEntry {
    #[outbox(entity_id)]
    pub(crate) id: Uuid,
    #[outbox(user_id)]
    pub(crate) user_id: String,
    #[outbox(metadata)]
    pub(crate) valence: f64,
    #[outbox(metadata)]
    pub(crate) labels: Vec<String>,
}

/// The user of all events but those [of many users](MoodEntry::of_user).
pub(crate) const USER: &str = Mood::USER;

impl MoodEntry {
    /// A new entity, with an id like those in an application's own table.
    pub(crate) fn new(number: usize) -> Self {
        Self::from(Mood::new(number))
    }

    /// The same, of one of many users.
    pub(crate) fn of_user(number: usize, users: usize) -> Self {
        Self {
            user_id: format!("user-{}", number % users),
            ..Self::new(number)
        }
    }

    pub(crate) fn many(count: usize) -> Vec<Self> {
        (0..count).map(Self::new).collect()
    }
}

/// The payload that a handler received, if its entity has an id like those of [`Mood`].
pub(crate) fn mood(event: &Event<MoodEntry>) -> Option<Mood> {
    let metadata = event.metadata();
    Some(Mood {
        id: event.entity_id.as_uuid()?,
        user_id: event.user_id.clone(),
        valence: metadata.valence,
        labels: metadata.labels.clone(),
    })
}

impl From<Mood> for MoodEntry {
    fn from(mood: Mood) -> Self {
        Self {
            id: mood.id,
            user_id: mood.user_id,
            valence: mood.valence,
            labels: mood.labels,
        }
    }
}

/// The metadata as a program without the derive would write and read it.
#[derive(Debug, Serialize, Deserialize)]
struct Body<L> {
    valence: f64,
    labels: L,
}

/// The values that the floor binds for one event.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) entity_id: Uuid,
    pub(crate) user_id: String,
    pub(crate) metadata: String,
}

impl Row {
    pub(crate) fn of(mood: &MoodEntry) -> anyhow::Result<Self> {
        let body = Body {
            valence: mood.valence,
            labels: &mood.labels,
        };
        Ok(Self {
            id: Uuid::now_v7(),
            entity_id: mood.id,
            user_id: mood.user_id.clone(),
            metadata: serde_json::to_string(&body)?,
        })
    }
}

/// The event as the floor's handler receives it.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) entity_id: Uuid,
    pub(crate) user_id: String,
    pub(crate) metadata: String,
}

impl Claimed {
    /// The payload that was written, if it has its keys and can be read.
    pub(crate) fn mood(&self) -> Option<Mood> {
        let body: Body<Vec<String>> = serde_json::from_str(&self.metadata).ok()?;
        (!self.id.is_nil()).then(|| Mood {
            id: self.entity_id,
            user_id: self.user_id.clone(),
            valence: body.valence,
            labels: body.labels,
        })
    }
}

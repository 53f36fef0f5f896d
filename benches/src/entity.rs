//! The enqueued entity, and the columns that the floor writes for it.

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

impl MoodEntry {
    /// A new entity, with an id like those in an application's own table.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            id: Uuid::new_v4(),
            user_id: "user-1".to_owned(),
            valence: (number % 200) as f64 / 100.0 - 1.0,
            labels: ["calm", "grateful", "rested"].map(str::to_owned).to_vec(),
        }
    }

    pub(crate) fn many(count: usize) -> Vec<Self> {
        (0..count).map(Self::new).collect()
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
    /// Whether a handler could send it: it has its keys, and the payload that was written.
    pub(crate) fn is_whole(&self) -> bool {
        let body: Result<Body<Vec<String>>, _> = serde_json::from_str(&self.metadata);
        let is_keyed = !self.id.is_nil() && !self.entity_id.is_nil() && !self.user_id.is_empty();
        is_keyed && body.is_ok_and(|body| body.valence.is_finite())
    }
}

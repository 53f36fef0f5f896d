//! Nights.

use chrono::{DateTime, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A night, from bed to breakfast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "sleepSession", priority = 5)]
pub struct SleepSession {
    /// Which one, here. It is the `source_id` for the service, which knows a night by it.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// When it began.
    #[outbox(metadata)]
    pub start: DateTime<Utc>,
    /// When it ended.
    #[outbox(metadata)]
    pub end: DateTime<Utc>,
    /// What it was made of, in order.
    #[outbox(metadata)]
    #[serde(default)]
    pub stages: Vec<SleepStage>,
    /// In the user's words.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

/// A part of a night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SleepStage {
    /// What it was.
    pub stage: Stage,
    /// When it began.
    pub start: DateTime<Utc>,
    /// When it ended.
    pub end: DateTime<Utc>,
}

/// What the service takes as `stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say what they are")]
pub enum Stage {
    Awake,
    Asleep,
    Core,
    Deep,
    Rem,
    InBed,
}

record!(SleepSession { "/api/v1/sleep", Never, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(self.start.timestamp().to_string())
    }
);

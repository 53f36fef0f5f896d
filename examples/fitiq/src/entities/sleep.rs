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
    /// The id on this device. It is the `source_id` by which the service knows a night.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The start.
    #[outbox(metadata)]
    pub start: DateTime<Utc>,
    /// The end.
    #[outbox(metadata)]
    pub end: DateTime<Utc>,
    /// The stages, in order.
    #[outbox(metadata)]
    #[serde(default)]
    pub stages: Vec<SleepStage>,
    /// The user's notes.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

/// A part of a night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SleepStage {
    /// The stage.
    pub stage: Stage,
    /// The start.
    pub start: DateTime<Utc>,
    /// The end.
    pub end: DateTime<Utc>,
}

/// The service's `stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are self-explanatory")]
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

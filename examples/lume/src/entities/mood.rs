//! A mood: how somebody felt at a moment.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// How somebody felt at a moment.
///
/// The event carries all of it: what goes out under one key is the same in every attempt, whatever is edited meanwhile. A change that
/// nobody has tried to send yet folds into the next, and a mood that is deleted before the service knew it is never sent.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "moodEntry", display_name = "Mood Entry", priority = 5)]
#[outbox(snapshot, coalesce = "latest", version = 5)]
#[outbox(upcast(1 = v6::GuideMood, 2 = v6::NamedMood, 3 = v6::ValenceMood, 4 = v6::Deleted))]
pub struct MoodEntry {
    /// Made on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose it is.
    #[outbox(user_id)]
    pub user_id: String,
    /// From -1, unpleasant, to 1, pleasant.
    pub valence: f64,
    /// The feelings by name.
    pub labels: Vec<String>,
    /// What they had to do with.
    pub associations: Vec<String>,
    /// In one's own words.
    #[outbox(sensitive)]
    pub notes: Option<String>,
    /// The moment.
    pub logged_at: DateTime<Utc>,
}

/// What an event about a mood carries: the mood.
pub type MoodEntryMetadata = MoodEntry;

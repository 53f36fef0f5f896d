//! A mood.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// The mood of a user at a point in time.
///
/// The event carries the whole mood, so every attempt under a key sends the same content, whatever
/// is edited meanwhile. A change without attempts folds into the next one, and a mood that is
/// deleted before the service knew it is never sent.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "moodEntry", display_name = "Mood Entry", priority = 5)]
#[outbox(snapshot, coalesce = "latest", version = 5)]
#[outbox(upcast(1 = v6::GuideMood, 2 = v6::NamedMood, 3 = v6::ValenceMood, 4 = v6::Deleted))]
pub struct MoodEntry {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user_id: String,
    /// From -1, unpleasant, to 1, pleasant.
    pub valence: f64,
    /// The feelings by name.
    pub labels: Vec<String>,
    /// The causes.
    pub associations: Vec<String>,
    /// Free text.
    #[outbox(sensitive)]
    pub notes: Option<String>,
    /// The time.
    pub logged_at: DateTime<Utc>,
}

/// The metadata of a mood event: the mood.
pub type MoodEntryMetadata = MoodEntry;

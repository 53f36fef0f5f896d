//! A journal entry.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::MoodEntry;
use crate::v6;

/// A journal entry.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "journalEntry",
    display_name = "Journal Entry",
    priority = 5
)]
#[outbox(snapshot, coalesce = "latest", version = 4)]
#[outbox(upcast(1 = v6::PlannedJournal, 2 = v6::Journal, 3 = v6::Deleted))]
pub struct JournalEntry {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user_id: String,
    /// At most 200 characters.
    #[outbox(sensitive)]
    pub title: Option<String>,
    /// At most 10,000 characters. Empty in one old form of event, which only named the entry: then
    /// the stored text is sent.
    #[outbox(sensitive)]
    pub content: String,
    /// At most 20.
    pub tags: Vec<String>,
    /// The app's own word: `freeform`, `gratitude`, `reflection`, `daily_log`, …
    pub entry_type: String,
    /// Marked by the user.
    pub is_favorite: bool,
    /// The linked mood, which the service must know first.
    #[outbox(after = MoodEntry)]
    pub linked_mood_id: Option<LocalId>,
    /// The time of the entry.
    pub logged_at: DateTime<Utc>,
}

/// The metadata of a journal event: the entry.
pub type JournalEntryMetadata = JournalEntry;

//! A journal entry.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// A page of the journal.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "journalEntry",
    display_name = "Journal Entry",
    priority = 5
)]
#[outbox(snapshot, coalesce = "latest", version = 4)]
#[outbox(upcast(1 = v6::PlannedJournal, 2 = v6::Journal, 3 = v6::Deleted))]
pub struct JournalEntry {
    /// Made on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose it is.
    #[outbox(user_id)]
    pub user_id: String,
    /// At most 200 characters.
    #[outbox(sensitive)]
    pub title: Option<String>,
    /// At most 10,000 characters. It is empty in one old form of event, which only named the entry: then what is stored is sent.
    #[outbox(sensitive)]
    pub content: String,
    /// At most 20.
    pub tags: Vec<String>,
    /// The app's own word: `freeform`, `gratitude`, `reflection`, `daily_log`, …
    pub entry_type: String,
    /// Marked by the user.
    pub is_favorite: bool,
    /// The mood that it goes with. It is sent once the service knows that.
    pub linked_mood_id: Option<LocalId>,
    /// The moment that it is about.
    pub logged_at: DateTime<Utc>,
}

/// What an event about a journal entry carries: the entry.
pub type JournalEntryMetadata = JournalEntry;

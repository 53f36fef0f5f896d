//! `/api/v1/journal`

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kept::{self, Kept};
use super::{Route, change, create, list, read, remove};
use crate::answer::Envelope;
use crate::rules::{self, Checked};
use crate::store::{Collection, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/journal",
        Envelope::Plain,
        create::<JournalEntry>,
    ),
    Route::user("GET /api/v1/journal", Envelope::Plain, list::<JournalEntry>),
    Route::user(
        "GET /api/v1/journal/{id}",
        Envelope::Plain,
        read::<JournalEntry>,
    ),
    Route::user(
        "PUT /api/v1/journal/{id}",
        Envelope::Plain,
        change::<JournalEntry>,
    ),
    Route::user(
        "DELETE /api/v1/journal/{id}",
        Envelope::Plain,
        remove::<JournalEntry>,
    ),
];

const FORMATS: [&str; 2] = ["plain", "markdown"];
/// Without `reflection` and `daily_log`, which the app sends too.
const TYPES: [&str; 6] = [
    "freeform",
    "gratitude",
    "goal_review",
    "workout",
    "meal",
    "prompt",
];

/// A journal entry as sent.
pub(crate) type JournalEntry = Kept<Content>;

/// The request body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    content: String,
    #[serde(default = "plain")]
    content_format: String,
    #[serde(default = "freeform")]
    entry_type: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default = "private")]
    privacy_level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_mood_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_goal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_id: Option<String>,
    #[serde(default)]
    attachments: Vec<Value>,
    logged_at: String,
    #[serde(default)]
    is_favorite: bool,
}

fn plain() -> String {
    "plain".to_owned()
}

fn freeform() -> String {
    "freeform".to_owned()
}

fn private() -> String {
    "private".to_owned()
}

impl kept::Content for Content {
    const COLLECTION: &'static str = "journal";
    const NOUN: &'static str = "journal entry";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Kept<Self>> {
        &mut store.journal
    }

    fn accept(&mut self) -> Checked {
        rules::optional_length("title", self.title.as_deref(), 200)?;
        rules::length("content", &self.content, 1..=10_000)?;
        rules::one_of("content_format", &self.content_format, &FORMATS)?;
        rules::one_of("entry_type", &self.entry_type, &TYPES)?;
        rules::count("tags", &self.tags, 0..=20)?;
        rules::count("attachments", &self.attachments, 0..=10)?;
        rules::remote_id("linked_mood_id", self.linked_mood_id.as_deref())?;
        rules::remote_id("linked_goal_id", self.linked_goal_id.as_deref())?;
        rules::time("logged_at", &self.logged_at).map(drop)
    }
}

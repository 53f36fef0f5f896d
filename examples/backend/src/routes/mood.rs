//! `/api/v1/wellness/mood-entries`

use serde::{Deserialize, Serialize};

use super::{Change, Create, Route, Visit, change, create, list, read, remove};
use crate::answer::Envelope;
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/wellness/mood-entries",
        Envelope::Plain,
        create::<MoodEntry>,
    ),
    Route::user(
        "GET /api/v1/wellness/mood-entries",
        Envelope::Plain,
        list::<MoodEntry>,
    ),
    Route::user(
        "GET /api/v1/wellness/mood-entries/{id}",
        Envelope::Plain,
        read::<MoodEntry>,
    ),
    Route::user(
        "PUT /api/v1/wellness/mood-entries/{id}",
        Envelope::Plain,
        change::<MoodEntry>,
    ),
    Route::user(
        "DELETE /api/v1/wellness/mood-entries/{id}",
        Envelope::Plain,
        remove::<MoodEntry>,
    ),
];

const LABELS: [&str; 18] = [
    "amazed",
    "grateful",
    "happy",
    "proud",
    "hopeful",
    "content",
    "peaceful",
    "excited",
    "joyful",
    "sad",
    "angry",
    "stressed",
    "anxious",
    "frustrated",
    "overwhelmed",
    "lonely",
    "scared",
    "worried",
];
const SOURCES: [&str; 3] = ["manual", "healthkit", "api"];

/// A mood as it is sent out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MoodEntry {
    id: String,
    user_id: String,
    #[serde(flatten)]
    content: Content,
    is_healthkit: bool,
    created_at: String,
    updated_at: String,
}

/// What a request says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    valence: f64,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    associations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    logged_at: String,
    #[serde(default = "manual")]
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
}

impl Content {
    fn check(&self) -> Checked {
        rules::range("valence", self.valence, -1.0..=1.0)?;
        for label in &self.labels {
            rules::one_of("labels", label, &LABELS)?;
        }
        rules::optional_length("notes", self.notes.as_deref(), 1000)?;
        rules::time("logged_at", &self.logged_at)?;
        rules::one_of("source", &self.source, &SOURCES)
    }
}

fn manual() -> String {
    "manual".to_owned()
}

impl Entity for MoodEntry {
    const COLLECTION: &'static str = "mood-entries";
    const NOUN: &'static str = "mood entry";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.moods
    }
}

impl Create for MoodEntry {
    type Draft = Content;

    fn create(content: Content, id: String, visit: &Visit<'_>) -> Checked<Self> {
        content.check()?;
        let now = rules::seconds(visit.now);
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            is_healthkit: content.source == "healthkit",
            content,
            created_at: now.clone(),
            updated_at: now,
        })
    }
}

impl Change for MoodEntry {
    type Change = Content;

    fn change(&mut self, content: Content, visit: &Visit<'_>) -> Checked {
        content.check()?;
        self.is_healthkit = content.source == "healthkit";
        self.content = content;
        self.updated_at = rules::seconds(visit.now);
        Ok(())
    }
}

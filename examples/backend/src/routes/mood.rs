//! `/api/v1/wellness/mood-entries`

use serde::{Deserialize, Serialize};

use super::kept::{self, Kept};
use super::{Route, change, create, list, read, remove};
use crate::answer::Envelope;
use crate::rules::{self, Checked};
use crate::store::{Collection, Store, Stranger};

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

/// A mood as sent.
pub(crate) type MoodEntry = Kept<Content>;

/// The request body.
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
    /// Set by the source, whatever the request says.
    #[serde(skip_deserializing)]
    is_healthkit: bool,
}

fn manual() -> String {
    "manual".to_owned()
}

impl kept::Content for Content {
    const COLLECTION: &'static str = "mood-entries";
    const NOUN: &'static str = "mood entry";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Kept<Self>> {
        &mut store.moods
    }

    fn accept(&mut self) -> Checked {
        self.is_healthkit = self.source == "healthkit";
        rules::range("valence", self.valence, -1.0..=1.0)?;
        for label in &self.labels {
            rules::one_of("labels", label, &LABELS)?;
        }
        rules::optional_length("notes", self.notes.as_deref(), 1000)?;
        rules::time("logged_at", &self.logged_at)?;
        rules::one_of("source", &self.source, &SOURCES)
    }
}

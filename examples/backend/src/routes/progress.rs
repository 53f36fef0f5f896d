//! `/api/v1/progress`: no `PUT`; editing a value means posting another.

use serde::{Deserialize, Serialize};

use super::{Action, Create, Route, Visit, create, list, read, remove};
use crate::answer::Envelope;
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

const CREATE: Route = Route::user(
    "POST /api/v1/progress",
    Envelope::Plain,
    create::<ProgressEntry>,
);

pub(super) const ROUTES: &[Route] = &[
    CREATE,
    Route {
        name: "POST /api/v1/progress/batch",
        envelope: Envelope::Plain,
        action: Action::Batch(&CREATE),
    },
    Route::user(
        "GET /api/v1/progress",
        Envelope::Plain,
        list::<ProgressEntry>,
    ),
    Route::user(
        "GET /api/v1/progress/{id}",
        Envelope::Plain,
        read::<ProgressEntry>,
    ),
    Route::user(
        "DELETE /api/v1/progress/{id}",
        Envelope::Plain,
        remove::<ProgressEntry>,
    ),
];

const TYPES: [&str; 16] = [
    "weight",
    "height",
    "body_fat_percentage",
    "bmi",
    "steps",
    "calories_out",
    "distance_km",
    "active_minutes",
    "sleep_hours",
    "water_liters",
    "resting_heart_rate",
    "mood_score",
    "calories_in",
    "protein_g",
    "carbs_g",
    "fat_g",
];

/// A measured value as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProgressEntry {
    id: String,
    #[serde(rename = "type")]
    metric: String,
    quantity: f64,
    date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    #[serde(rename = "type")]
    metric: String,
    quantity: f64,
    logged_at: Option<String>,
    notes: Option<String>,
}

impl Entity for ProgressEntry {
    const COLLECTION: &'static str = "progress";
    const NOUN: &'static str = "progress entry";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.progress
    }
}

impl Create for ProgressEntry {
    type Draft = Draft;

    fn create(draft: Draft, id: String, visit: &Visit<'_>) -> Checked<Self> {
        rules::one_of("type", &draft.metric, &TYPES)?;
        rules::not_negative("quantity", Some(draft.quantity))?;
        let date = rules::time_or_now("logged_at", draft.logged_at.as_deref(), visit.now)?;
        rules::optional_length("notes", draft.notes.as_deref(), 500)?;
        Ok(Self {
            id,
            metric: draft.metric,
            quantity: draft.quantity,
            date: rules::seconds(date),
            notes: draft.notes,
        })
    }
}

//! `/api/v1/progress`: no `PUT`; editing a value means posting another.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Create, Route, Visit, create, list, read, remove};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger, new_id};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/progress",
        Envelope::Plain,
        create::<ProgressEntry>,
    ),
    Route::user("POST /api/v1/progress/batch", Envelope::Plain, batch),
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

/// The most entries of a batch.
const BATCH: usize = 100;

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

#[derive(Debug, Deserialize)]
struct Batch {
    items: Vec<Keyed>,
}

/// An entry under an idempotency key of its own, which a batch honors in any case.
#[derive(Debug, Deserialize)]
struct Keyed {
    key: String,
    #[serde(flatten)]
    draft: Draft,
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

/// Each entry has a status of its own, in order.
fn batch(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let batch: Batch = visit.read()?;
    rules::count("items", &batch.items, 1..=BATCH)?;
    let mut items = Vec::with_capacity(batch.items.len());
    for Keyed { key, draft } in batch.items {
        if let Some(id) = store.progress.id_under(visit.user, &key) {
            items.push(json!({ "status": 200, "id": id }));
            continue;
        }
        let visit = Visit {
            key: Some(&key),
            ..*visit
        };
        let id = new_id();
        items.push(match ProgressEntry::create(draft, id.clone(), &visit) {
            Ok(entry) => {
                store.progress.insert(id.clone(), entry, &visit);
                json!({ "status": 201, "id": id })
            }
            Err(refusal) => {
                json!({ "status": refusal.status.as_u16(), "message": refusal.message })
            }
        });
    }
    Ok(Done::new(
        StatusCode::MULTI_STATUS,
        json!({ "items": items }),
    ))
}

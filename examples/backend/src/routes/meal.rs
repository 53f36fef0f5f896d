//! `/api/v1/meal-logs`: accepted at once and analyzed later; the result is reported elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Create, Route, Visit, create, list, read, remove};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger, new_id};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/meal-logs/natural",
        Envelope::Plain,
        create::<MealLog>,
    ),
    Route::user("POST /api/v1/meal-logs/batch", Envelope::Plain, batch),
    Route::user("GET /api/v1/meal-logs", Envelope::Plain, list::<MealLog>),
    Route::user(
        "GET /api/v1/meal-logs/{id}",
        Envelope::Plain,
        read::<MealLog>,
    ),
    Route::user(
        "DELETE /api/v1/meal-logs/{id}",
        Envelope::Plain,
        remove::<MealLog>,
    ),
];

const TYPES: [&str; 4] = ["breakfast", "lunch", "dinner", "snack"];
/// The most meals of a batch.
const BATCH: usize = 100;

/// A meal as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MealLog {
    id: String,
    user_id: String,
    raw_input: String,
    meal_type: String,
    status: &'static str,
    logged_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    estimated_completion_seconds: u32,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    raw_input: String,
    meal_type: String,
    logged_at: Option<String>,
    notes: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Batch {
    items: Vec<Draft>,
}

impl Entity for MealLog {
    const COLLECTION: &'static str = "meal-logs";
    const NOUN: &'static str = "meal log";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.meals
    }
}

impl Create for MealLog {
    type Draft = Draft;

    fn create(draft: Draft, id: String, visit: &Visit<'_>) -> Checked<Self> {
        rules::length("raw_input", &draft.raw_input, 1..=1000)?;
        rules::one_of("meal_type", &draft.meal_type, &TYPES)?;
        let logged_at = rules::time_or_now("logged_at", draft.logged_at.as_deref(), visit.now)?;
        let now = rules::seconds(visit.now);
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            raw_input: draft.raw_input,
            meal_type: draft.meal_type,
            status: "processing",
            logged_at: rules::seconds(logged_at),
            notes: draft.notes,
            estimated_completion_seconds: 5,
            created_at: now.clone(),
            updated_at: now,
        })
    }
}

/// All of them or none.
fn batch(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let batch: Batch = visit.read()?;
    rules::count("items", &batch.items, 1..=BATCH)?;
    let meals = batch
        .items
        .into_iter()
        .map(|draft| MealLog::create(draft, new_id(), visit));
    let meals: Vec<MealLog> = meals.collect::<Result<_, _>>()?;
    let done = Done::created(json!({ "items": meals }));
    for meal in meals {
        store.meals.insert(meal.id.clone(), meal, visit);
    }
    Ok(done)
}

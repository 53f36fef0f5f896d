//! `/api/v1/workout-templates`

use serde::{Deserialize, Serialize};

use super::{Create, Route, Visit, create, list, read};
use crate::answer::{Envelope, Refusal};
use crate::rules::{self, Checked, Extra};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/workout-templates",
        Envelope::Plain,
        create::<WorkoutTemplate>,
    ),
    Route::user(
        "GET /api/v1/workout-templates",
        Envelope::Plain,
        list::<WorkoutTemplate>,
    ),
    Route::user(
        "GET /api/v1/workout-templates/{id}",
        Envelope::Plain,
        read::<WorkoutTemplate>,
    ),
];

/// A plan for workouts as it is sent out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkoutTemplate {
    id: String,
    user_id: String,
    #[serde(flatten)]
    content: Content,
    created_at: String,
    updated_at: String,
}

/// What a request says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    name: String,
    description: Option<String>,
    category: Option<String>,
    difficulty_level: Option<String>,
    estimated_duration_minutes: Option<f64>,
    #[serde(default)]
    exercises: Vec<Exercise>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Exercise {
    #[serde(skip_serializing_if = "Option::is_none")]
    exercise_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_exercise_id: Option<String>,
    order_index: u32,
    /// Technique, sets, repetitions and the like.
    #[serde(flatten)]
    how: Extra,
}

impl Entity for WorkoutTemplate {
    const COLLECTION: &'static str = "workout-templates";
    const NOUN: &'static str = "workout template";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.templates
    }
}

impl Create for WorkoutTemplate {
    type Draft = Content;

    fn create(content: Content, id: String, visit: &Visit<'_>) -> Checked<Self> {
        rules::length("name", &content.name, 1..=200)?;
        rules::not_negative(
            "estimated_duration_minutes",
            content.estimated_duration_minutes,
        )?;
        for exercise in &content.exercises {
            if exercise.exercise_id.is_some() == exercise.user_exercise_id.is_some() {
                return Err(Refusal::invalid(
                    "an exercise must have one of exercise_id and user_exercise_id",
                ));
            }
        }
        let now = rules::seconds(visit.now);
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            content,
            created_at: now.clone(),
            updated_at: now,
        })
    }
}

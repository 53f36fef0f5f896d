//! `/api/v1/workout-templates`

use serde::{Deserialize, Serialize};

use super::kept::{self, Kept};
use super::{Route, create, list, read};
use crate::answer::{Envelope, Refusal};
use crate::rules::{self, Checked, Extra};
use crate::store::{Collection, Store, Stranger};

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

/// A workout template as sent.
pub(crate) type WorkoutTemplate = Kept<Content>;

/// The request body.
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
    /// Technique, sets, repetitions and so on.
    #[serde(flatten)]
    how: Extra,
}

impl kept::Content for Content {
    const COLLECTION: &'static str = "workout-templates";
    const NOUN: &'static str = "workout template";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Kept<Self>> {
        &mut store.templates
    }

    fn accept(&mut self) -> Checked {
        rules::length("name", &self.name, 1..=200)?;
        rules::not_negative(
            "estimated_duration_minutes",
            self.estimated_duration_minutes,
        )?;
        for exercise in &self.exercises {
            if exercise.exercise_id.is_some() == exercise.user_exercise_id.is_some() {
                return Err(Refusal::invalid(
                    "an exercise must have one of exercise_id and user_exercise_id",
                ));
            }
        }
        Ok(())
    }
}

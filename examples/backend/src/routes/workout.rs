//! `/api/v1/workouts`

use serde::{Deserialize, Serialize};

use super::kept::{self, Kept};
use super::{Route, change, create, list, read};
use crate::answer::Envelope;
use crate::rules::{self, Checked};
use crate::store::{Collection, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user("POST /api/v1/workouts", Envelope::Plain, create::<Workout>),
    Route::user("GET /api/v1/workouts", Envelope::Plain, list::<Workout>),
    Route::user(
        "GET /api/v1/workouts/{id}",
        Envelope::Plain,
        read::<Workout>,
    ),
    Route::user(
        "PUT /api/v1/workouts/{id}",
        Envelope::Plain,
        change::<Workout>,
    ),
];

/// A workout as sent.
pub(crate) type Workout = Kept<Content>;

/// The request body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    activity_type: String,
    title: Option<String>,
    notes: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    duration_minutes: Option<f64>,
    calories_burned: Option<f64>,
    distance_meters: Option<f64>,
    intensity: Option<f64>,
}

impl kept::Content for Content {
    const COLLECTION: &'static str = "workouts";
    const NOUN: &'static str = "workout";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Kept<Self>> {
        &mut store.workouts
    }

    fn accept(&mut self) -> Checked {
        rules::length("activity_type", &self.activity_type, 1..=100)?;
        let started = rules::time("started_at", &self.started_at)?;
        if let Some(ended) = &self.ended_at {
            let ended = rules::time("ended_at", ended)?;
            rules::in_order(("started_at", started), ("ended_at", ended))?;
        }
        rules::not_negative("duration_minutes", self.duration_minutes)?;
        rules::not_negative("calories_burned", self.calories_burned)?;
        rules::not_negative("distance_meters", self.distance_meters)?;
        self.intensity.map_or(Ok(()), |intensity| {
            rules::range("intensity", intensity, 1.0..=10.0)
        })
    }
}

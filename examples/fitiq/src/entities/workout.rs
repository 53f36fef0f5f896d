//! Training, and plans for it.

use chrono::{DateTime, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A workout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "workout", priority = 5)]
pub struct Workout {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// Such as `running`.
    #[outbox(metadata)]
    pub activity_type: String,
    /// A name for it.
    #[outbox(metadata)]
    pub title: Option<String>,
    /// When it began.
    #[outbox(metadata)]
    pub started_at: DateTime<Utc>,
    /// For how long.
    #[outbox(metadata)]
    pub duration_minutes: Option<f64>,
    /// Calories that were burned.
    #[outbox(metadata)]
    pub calories_burned: Option<f64>,
    /// From 1 to 10.
    #[outbox(metadata)]
    pub intensity: Option<u8>,
    /// The plan that it followed. The service must know that one first.
    #[outbox(metadata)]
    pub template: Option<LocalId>,
}

record!(Workout { "/api/v1/workouts", Put, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(format!("{}|{}", self.activity_type, self.started_at.timestamp()))
    }

    fn depends_on(metadata: &WorkoutMetadata) -> Option<LocalId> {
        metadata.template
    }
);

/// A plan for workouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "workoutTemplate", priority = 5)]
pub struct WorkoutTemplate {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// What it is called.
    #[outbox(metadata)]
    pub name: String,
    /// What it is about.
    #[outbox(metadata)]
    pub description: Option<String>,
    /// Such as `strength`.
    #[outbox(metadata)]
    pub category: Option<String>,
    /// What to do, in order.
    #[outbox(metadata)]
    #[serde(default)]
    pub exercises: Vec<Exercise>,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exercise {
    /// Which exercise of the service's catalogue.
    pub exercise_id: String,
    /// How many sets.
    pub sets: Option<u32>,
    /// Of how many repetitions.
    pub reps: Option<u32>,
}

record!(WorkoutTemplate { "/api/v1/workout-templates", Never, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(self.name.clone())
    }
);

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
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The type, such as `running`.
    #[outbox(metadata)]
    pub activity_type: String,
    /// The name.
    #[outbox(metadata)]
    pub title: Option<String>,
    /// The start.
    #[outbox(metadata)]
    pub started_at: DateTime<Utc>,
    /// The duration.
    #[outbox(metadata)]
    pub duration_minutes: Option<f64>,
    /// Burned calories.
    #[outbox(metadata)]
    pub calories_burned: Option<f64>,
    /// From 1 to 10.
    #[outbox(metadata)]
    pub intensity: Option<u8>,
    /// The template that it followed, which the service must know first.
    #[outbox(metadata, after = WorkoutTemplate)]
    pub template: Option<LocalId>,
}

record!(Workout { "/api/v1/workouts", Put, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(format!("{}|{}", self.activity_type, self.started_at.timestamp()))
    }
);

/// A plan for workouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "workoutTemplate", priority = 5)]
pub struct WorkoutTemplate {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The name.
    #[outbox(metadata)]
    pub name: String,
    /// The description.
    #[outbox(metadata)]
    pub description: Option<String>,
    /// The category, such as `strength`.
    #[outbox(metadata)]
    pub category: Option<String>,
    /// The exercises, in order.
    #[outbox(metadata)]
    #[serde(default)]
    pub exercises: Vec<Exercise>,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exercise {
    /// The exercise in the service's catalog.
    pub exercise_id: String,
    /// The number of sets.
    pub sets: Option<u32>,
    /// The number of repetitions.
    pub reps: Option<u32>,
}

record!(WorkoutTemplate { "/api/v1/workout-templates", Never, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(self.name.clone())
    }
);

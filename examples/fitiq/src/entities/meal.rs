//! Meals, in words. The service analyzes them later; nothing here waits for that.

use chrono::{DateTime, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A meal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "mealLog", priority = 7)]
pub struct MealLog {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The user's description.
    #[outbox(metadata)]
    pub raw_input: String,
    /// The type of meal.
    #[outbox(metadata)]
    pub meal_type: MealType,
    /// The time.
    #[outbox(metadata)]
    pub logged_at: DateTime<Utc>,
    /// More text.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

/// The service's `meal_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are self-explanatory")]
pub enum MealType {
    Breakfast,
    Lunch,
    Dinner,
    Snack,
}

record!(MealLog { "/api/v1/meal-logs", Replace, Remote });

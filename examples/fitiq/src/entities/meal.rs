//! What was eaten, in words. What it amounts to the service finds out later; nothing here waits for that.

use chrono::{DateTime, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A meal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "mealLog", priority = 7)]
pub struct MealLog {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// What the user wrote.
    #[outbox(metadata)]
    pub raw_input: String,
    /// Which meal of the day.
    #[outbox(metadata)]
    pub meal_type: MealType,
    /// When.
    #[outbox(metadata)]
    pub logged_at: DateTime<Utc>,
    /// More words.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

/// What the service takes as `meal_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say what they are")]
pub enum MealType {
    Breakfast,
    Lunch,
    Dinner,
    Snack,
}

record!(MealLog { "/api/v1/meal-logs", Replace, Remote });

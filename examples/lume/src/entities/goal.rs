//! A goal and its progress.

use chrono::NaiveDate;
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// A goal with a deadline.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "goal", display_name = "Goal", priority = 5)]
#[outbox(snapshot, coalesce = "latest", version = 3)]
#[outbox(upcast(1 = v6::Goal, 2 = v6::Deleted))]
pub struct Goal {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user_id: String,
    /// At most 200 characters.
    #[outbox(sensitive)]
    pub title: String,
    /// At most 1,000 characters.
    #[outbox(sensitive)]
    pub description: String,
    /// The app's own word: `general`, `physical`, `mental`, …
    pub category: String,
    /// The target, above zero.
    pub target_value: f64,
    /// The unit.
    pub target_unit: String,
    /// The current value.
    pub current_value: f64,
    /// The first day.
    pub start_date: NaiveDate,
    /// The last day.
    pub target_date: NaiveDate,
    /// The status.
    pub status: GoalStatus,
}

/// The metadata of a goal event: the goal.
pub type GoalMetadata = Goal;

/// The status of a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum GoalStatus {
    /// In progress.
    Active,
    /// Reached.
    Completed,
    /// Paused. The service has no such status: there it stays active.
    Paused,
    /// Given up or archived; the service calls it abandoned.
    Archived,
}

impl GoalStatus {
    /// The spelling in the database and in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Parses the app's and the service's spellings; anything else is active.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "completed" => Self::Completed,
            "paused" => Self::Paused,
            "archived" | "abandoned" => Self::Archived,
            _ => Self::Active,
        }
    }
}

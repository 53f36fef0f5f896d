//! A goal, and how far somebody is with it.

use chrono::NaiveDate;
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// Something to be reached by a day.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "goal", display_name = "Goal", priority = 5)]
#[outbox(snapshot, coalesce = "latest", version = 3)]
#[outbox(upcast(1 = v6::Goal, 2 = v6::Deleted))]
pub struct Goal {
    /// Made on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose it is.
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
    /// How much it takes; above zero.
    pub target_value: f64,
    /// Of what.
    pub target_unit: String,
    /// How much there is.
    pub current_value: f64,
    /// The first day.
    pub start_date: NaiveDate,
    /// The last day.
    pub target_date: NaiveDate,
    /// Where it stands.
    pub status: GoalStatus,
}

/// What an event about a goal carries: the goal.
pub type GoalMetadata = Goal;

/// Where a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum GoalStatus {
    /// Somebody works on it.
    Active,
    /// It was reached.
    Completed,
    /// Nobody does for now. The service has no such status: there it stays active.
    Paused,
    /// It was given up, or put away; the service says abandoned.
    Archived,
}

impl GoalStatus {
    /// As it stands in the database and in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Reads the app's words and the service's; what is neither is active.
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

//! The payload of every contestant.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An entity as an application's own table has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mood {
    /// Random, so each event has an entity of its own.
    pub id: Uuid,
    /// The same for all.
    pub user_id: String,
    /// Metadata.
    pub valence: f64,
    /// Metadata.
    pub labels: Vec<String>,
}

impl Mood {
    /// The user of all events.
    pub const USER: &str = "user-1";

    /// A new entity.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            id: Uuid::new_v4(),
            user_id: Self::USER.to_owned(),
            valence: (number % 200) as f64 / 100.0 - 1.0,
            labels: ["calm", "grateful", "rested"].map(str::to_owned).to_vec(),
        }
    }

    /// Whether a handler could send it: it has its keys and its metadata.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.id.is_nil() && !self.user_id.is_empty() && self.valence.is_finite()
    }
}

//! Who the user is: one of each for an account.

use chrono::NaiveDate;
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// What users say of themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "profileMetadata", priority = 5)]
pub struct ProfileMetadata {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// The name to be shown.
    #[outbox(metadata)]
    pub name: String,
    /// A few words.
    #[outbox(metadata)]
    pub bio: Option<String>,
    /// `metric` or `imperial`.
    #[outbox(metadata)]
    pub preferred_unit_system: Option<String>,
    /// Such as `en`.
    #[outbox(metadata)]
    pub language_code: Option<String>,
}

record!(ProfileMetadata { "/api/v1/users/me", Put, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some("me".to_owned())
    }
);

/// What the body of a user is like, as far as it does not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "profilePhysical",
    priority = 5,
    display_name = "Physical Profile"
)]
pub struct ProfilePhysical {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// As the service knows it.
    #[outbox(metadata)]
    pub biological_sex: Option<Sex>,
    /// In centimetres.
    #[outbox(metadata)]
    pub height_cm: Option<f64>,
    /// The day of birth.
    #[outbox(metadata)]
    pub date_of_birth: Option<NaiveDate>,
}

/// What the service takes as `biological_sex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say what they are")]
pub enum Sex {
    Male,
    Female,
    Other,
}

record!(ProfilePhysical { "/api/v1/users/me/physical", Put, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some("me".to_owned())
    }
);

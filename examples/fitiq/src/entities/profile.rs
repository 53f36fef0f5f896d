//! The user's profile: one of each per account.

use chrono::NaiveDate;
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// The profile as written by the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "profileMetadata", priority = 5)]
pub struct ProfileMetadata {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The display name.
    #[outbox(metadata)]
    pub name: String,
    /// A short biography.
    #[outbox(metadata)]
    pub bio: Option<String>,
    /// `metric` or `imperial`.
    #[outbox(metadata)]
    pub preferred_unit_system: Option<String>,
    /// A language code, such as `en`.
    #[outbox(metadata)]
    pub language_code: Option<String>,
}

record!(ProfileMetadata { "/api/v1/users/me", Put, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some("me".to_owned())
    }
);

/// Permanent attributes of the user's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "profilePhysical",
    priority = 5,
    display_name = "Physical Profile"
)]
pub struct ProfilePhysical {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The value for the service.
    #[outbox(metadata)]
    pub biological_sex: Option<Sex>,
    /// In centimeters.
    #[outbox(metadata)]
    pub height_cm: Option<f64>,
    /// The day of birth.
    #[outbox(metadata)]
    pub date_of_birth: Option<NaiveDate>,
}

/// The service's `biological_sex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are self-explanatory")]
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

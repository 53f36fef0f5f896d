//! Measurements: single values, body attributes, and the activity of a day.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone, Timelike, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A measured value at a time, or of a whole day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "progressEntry", priority = 0)]
pub struct ProgressEntry {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The quantity.
    #[outbox(metadata)]
    pub metric: Metric,
    /// The amount.
    #[outbox(metadata)]
    pub value: f64,
    /// The day in UTC: a day that depends on the time zone would be two days.
    #[outbox(metadata)]
    pub date: NaiveDate,
    /// The time of day in UTC; `None` for a value of the whole day.
    #[outbox(metadata)]
    pub time: Option<NaiveTime>,
    /// The user's notes.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

impl ProgressEntry {
    /// A new value at a time in any time zone; day and time are converted to UTC.
    #[must_use]
    pub fn at<Tz: TimeZone>(
        user: &UserId,
        metric: Metric,
        value: f64,
        moment: &DateTime<Tz>,
    ) -> Self {
        let moment = moment.to_utc();
        Self {
            id: LocalId::new(),
            user: user.clone(),
            metric,
            value,
            date: moment.date_naive(),
            time: moment.time().with_nanosecond(0),
            notes: None,
        }
    }

    /// A new value of a whole day.
    #[must_use]
    pub fn of_day(user: &UserId, metric: Metric, value: f64, date: NaiveDate) -> Self {
        Self {
            id: LocalId::new(),
            user: user.clone(),
            metric,
            value,
            date,
            time: None,
            notes: None,
        }
    }
}

/// The service's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are self-explanatory")]
pub enum Metric {
    Weight,
    Height,
    BodyFatPercentage,
    Bmi,
    Steps,
    CaloriesOut,
    DistanceKm,
    ActiveMinutes,
    SleepHours,
    WaterLiters,
    RestingHeartRate,
    MoodScore,
    CaloriesIn,
    ProteinG,
    CarbsG,
    FatG,
}

record!(ProgressEntry { "/api/v1/progress", Replace, Remote }
    /// The steps of one hour exist once, however often the phone reports them.
    fn natural_key(&self) -> Option<String> {
        let time = self.time.map_or_else(|| "-".to_owned(), |time| time.format("%H:%M:%S").to_string());
        Some(format!("{:?}|{}|{time}", self.metric, self.date))
    }
);

/// A body attribute, valid since a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "physicalAttribute", priority = 0)]
pub struct PhysicalAttribute {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The kind.
    #[outbox(metadata)]
    pub attribute: Attribute,
    /// In kilograms, centimeters, or percent.
    #[outbox(metadata)]
    pub value: f64,
    /// The first day.
    #[outbox(metadata)]
    pub date: NaiveDate,
}

/// Body attributes, which the service stores as progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are self-explanatory")]
pub enum Attribute {
    Weight,
    Height,
    BodyFatPercentage,
    Bmi,
}

record!(PhysicalAttribute { "/api/v1/progress", Replace, Remote }
    fn natural_key(&self) -> Option<String> {
        Some(format!("{:?}|{}", self.attribute, self.date))
    }
);

/// The activity of a day so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "activitySnapshot", priority = 0)]
pub struct ActivitySnapshot {
    /// The id on this device.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user: UserId,
    /// The time of the snapshot.
    #[outbox(metadata)]
    pub at: DateTime<Utc>,
    /// Steps of the day.
    #[outbox(metadata)]
    pub steps: Option<f64>,
    /// Active calories.
    #[outbox(metadata)]
    pub active_calories: Option<f64>,
    /// In meters.
    #[outbox(metadata)]
    pub distance_meters: Option<f64>,
}

record!(ActivitySnapshot { "/api/v1/activity-snapshots", Post, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(self.at.date_naive().to_string())
    }
);

//! What was measured: single values, attributes of the body, what a day was like so far.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone, Timelike, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::prelude::OutboxEntity;
use serde::{Deserialize, Serialize};

use super::record;

/// A measured value of a moment, or of a whole day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "progressEntry", priority = 0)]
pub struct ProgressEntry {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// What was measured.
    #[outbox(metadata)]
    pub metric: Metric,
    /// How much.
    #[outbox(metadata)]
    pub value: f64,
    /// The day, in UTC: a day that moves with the time zone is two days.
    #[outbox(metadata)]
    pub date: NaiveDate,
    /// The time of that day, in UTC; none where the value is of the whole day.
    #[outbox(metadata)]
    pub time: Option<NaiveTime>,
    /// In the user's words.
    #[outbox(metadata)]
    pub notes: Option<String>,
}

impl ProgressEntry {
    /// A new value of a moment, in whatever time zone that was: day and time are those of UTC.
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

/// What the service takes as `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say what they are")]
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
    /// Steps of ten o'clock are there once, however often the phone tells of them.
    fn natural_key(&self) -> Option<String> {
        let time = self.time.map_or_else(|| "-".to_owned(), |time| time.format("%H:%M:%S").to_string());
        Some(format!("{:?}|{}|{time}", self.metric, self.date))
    }
);

/// What a body is like since a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "physicalAttribute", priority = 0)]
pub struct PhysicalAttribute {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// What it is.
    #[outbox(metadata)]
    pub attribute: Attribute,
    /// In kilograms, centimetres, per cent.
    #[outbox(metadata)]
    pub value: f64,
    /// Since when.
    #[outbox(metadata)]
    pub date: NaiveDate,
}

/// Attributes of a body, as the service takes them: they are kinds of progress there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say what they are")]
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

/// What a day was like so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "activitySnapshot", priority = 0)]
pub struct ActivitySnapshot {
    /// Which one, here.
    #[outbox(entity_id)]
    pub id: LocalId,
    /// Whose.
    #[outbox(user_id)]
    pub user: UserId,
    /// As of when.
    #[outbox(metadata)]
    pub at: DateTime<Utc>,
    /// Steps of the day.
    #[outbox(metadata)]
    pub steps: Option<f64>,
    /// Calories that were burned by moving.
    #[outbox(metadata)]
    pub active_calories: Option<f64>,
    /// In metres.
    #[outbox(metadata)]
    pub distance_meters: Option<f64>,
}

record!(ActivitySnapshot { "/api/v1/activity-snapshots", Post, LocalOnly }
    fn natural_key(&self) -> Option<String> {
        Some(self.at.date_naive().to_string())
    }
);

//! `/api/v1/sleep`: no fractions of seconds, and a known `source_id` returns the existing session.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Create, Route, Visit, create, list, read};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user("POST /api/v1/sleep", Envelope::Plain, log),
    Route::user("GET /api/v1/sleep", Envelope::Plain, list::<SleepSession>),
    Route::user(
        "GET /api/v1/sleep/{id}",
        Envelope::Plain,
        read::<SleepSession>,
    ),
];

const STAGES: [&str; 6] = ["awake", "asleep", "core", "deep", "rem", "in_bed"];
const ASLEEP: [&str; 4] = ["asleep", "core", "deep", "rem"];

/// A night as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SleepSession {
    id: String,
    user_id: String,
    #[serde(flatten)]
    content: Content,
    time_in_bed_minutes: i64,
    total_sleep_minutes: i64,
    sleep_efficiency_percentage: f64,
    awake_minutes: i64,
    asleep_minutes: i64,
    core_minutes: i64,
    deep_minutes: i64,
    rem_minutes: i64,
    in_bed_minutes: i64,
    created_at: String,
    updated_at: String,
}

/// The request body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    start_time: String,
    end_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    #[serde(default)]
    stages: Vec<Stage>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stage {
    stage: String,
    start_time: String,
    end_time: String,
}

/// Start and end.
struct Span {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Span {
    fn read(start: &str, end: &str) -> Checked<Self> {
        let start = rules::whole_time("start_time", start)?;
        let end = rules::whole_time("end_time", end)?;
        if end <= start {
            return Err(Refusal::invalid("end_time must be after start_time"));
        }
        Ok(Self { start, end })
    }

    fn minutes(&self) -> i64 {
        (self.end - self.start).num_minutes()
    }
}

/// Like any creation, unless the source has reported this night before: then 200 with the first
/// report.
fn log(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let content: Content = visit.read()?;
    let known = content.source_id.as_deref().and_then(|source| {
        let mut nights = store.sleep.of(visit.user);
        nights.find(|night| night.content.source_id.as_deref() == Some(source))
    });
    match known {
        Some(night) => Ok(Done::ok(night).about(&night.id)),
        None => create::<SleepSession>(store, visit),
    }
}

impl Entity for SleepSession {
    const COLLECTION: &'static str = "sleep";
    const NOUN: &'static str = "sleep session";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.sleep
    }
}

impl Create for SleepSession {
    type Draft = Content;

    fn create(content: Content, id: String, visit: &Visit<'_>) -> Checked<Self> {
        let night = Span::read(&content.start_time, &content.end_time)?;
        let mut spans = Vec::new();
        for stage in &content.stages {
            rules::one_of("stage", &stage.stage, &STAGES)?;
            let span = Span::read(&stage.start_time, &stage.end_time)?;
            if span.start < night.start || night.end < span.end {
                return Err(Refusal::invalid(
                    "stages must lie between start_time and end_time",
                ));
            }
            spans.push((stage.stage.as_str(), span));
        }
        let minutes = |names: &[&str]| -> i64 {
            let of_them = spans.iter().filter(|(name, _)| names.contains(name));
            of_them.map(|(_, span)| span.minutes()).sum()
        };
        let in_bed = night.minutes();
        let asleep = if spans.is_empty() {
            in_bed
        } else {
            minutes(&ASLEEP)
        };
        let now = rules::seconds(visit.now);
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            time_in_bed_minutes: in_bed,
            total_sleep_minutes: asleep,
            sleep_efficiency_percentage: percentage(asleep, in_bed),
            awake_minutes: minutes(&["awake"]),
            asleep_minutes: minutes(&["asleep"]),
            core_minutes: minutes(&["core"]),
            deep_minutes: minutes(&["deep"]),
            rem_minutes: minutes(&["rem"]),
            in_bed_minutes: minutes(&["in_bed"]),
            content,
            created_at: now.clone(),
            updated_at: now,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "minutes of a night are few")]
fn percentage(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64 * 100.0
}

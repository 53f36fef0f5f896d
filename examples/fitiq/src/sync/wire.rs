//! The request bodies: one form per endpoint, with the times that it accepts.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use fitiq_core::{LocalId, RemoteId};
use outbox_runtime::prelude::Event;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::entities::{
    ActivitySnapshotMetadata, Attribute, MealLogMetadata, MealType, Metric,
    PhysicalAttributeMetadata, ProgressEntry, ProgressEntryMetadata, SleepSessionMetadata, Stage,
    WorkoutMetadata, WorkoutTemplateMetadata,
};

/// A time without fractions of a second, which not every endpoint accepts.
struct Seconds(DateTime<Utc>);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_rfc3339_opts(SecondsFormat::Secs, true);
        serializer.serialize_str(&text)
    }
}

/// A day without a time means its start.
fn at(date: NaiveDate, time: Option<NaiveTime>) -> Seconds {
    Seconds(date.and_time(time.unwrap_or(NaiveTime::MIN)).and_utc())
}

#[derive(Serialize)]
struct Progress<'a, T> {
    r#type: T,
    quantity: f64,
    logged_at: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
}

pub(super) fn progress(entry: &ProgressEntryMetadata) -> impl Serialize + '_ {
    Progress::<Metric> {
        r#type: entry.metric,
        quantity: entry.value,
        logged_at: at(entry.date, entry.time),
        notes: entry.notes.as_deref(),
    }
}

/// A batch of new values.
#[derive(Serialize)]
pub(super) struct Items<T> {
    items: Vec<Item<T>>,
}

/// An entry of a batch: the body of a call of its own, and the key of its event.
#[derive(Serialize)]
struct Item<T> {
    idempotency_key: Uuid,
    #[serde(flatten)]
    body: T,
}

pub(super) fn progress_batch<'a, I>(events: I) -> Items<impl Serialize + use<'a, I>>
where
    I: Iterator<Item = &'a Event<ProgressEntry>>,
{
    let items = events.map(|event| Item {
        idempotency_key: event.idempotency_key(),
        body: progress(event.metadata()),
    });
    Items {
        items: items.collect(),
    }
}

pub(super) fn attribute(attribute: &PhysicalAttributeMetadata) -> impl Serialize + use<> {
    Progress::<'static, Attribute> {
        r#type: attribute.attribute,
        quantity: attribute.value,
        logged_at: at(attribute.date, None),
        notes: None,
    }
}

#[derive(Serialize)]
struct Activity {
    snapshot_time: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_calories: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_meters: Option<f64>,
    source: &'static str,
    source_sync_id: LocalId,
}

pub(super) fn activity(id: LocalId, snapshot: &ActivitySnapshotMetadata) -> impl Serialize + use<> {
    Activity {
        snapshot_time: Seconds(snapshot.at),
        steps: snapshot.steps,
        active_calories: snapshot.active_calories,
        distance_meters: snapshot.distance_meters,
        source: "fitiq",
        source_sync_id: id,
    }
}

#[derive(Serialize)]
struct Sleep<'a> {
    start_time: Seconds,
    end_time: Seconds,
    source: &'static str,
    source_id: LocalId,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
    stages: Vec<SleepStage>,
}

#[derive(Serialize)]
struct SleepStage {
    stage: Stage,
    start_time: Seconds,
    end_time: Seconds,
}

pub(super) fn sleep(id: LocalId, night: &SleepSessionMetadata) -> impl Serialize + '_ {
    let stages = night.stages.iter().map(|part| SleepStage {
        stage: part.stage,
        start_time: Seconds(part.start),
        end_time: Seconds(part.end),
    });
    Sleep {
        start_time: Seconds(night.start),
        end_time: Seconds(night.end),
        source: "fitiq",
        source_id: id,
        notes: night.notes.as_deref(),
        stages: stages.collect(),
    }
}

#[derive(Serialize)]
struct Meal<'a> {
    raw_input: &'a str,
    meal_type: MealType,
    logged_at: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
}

pub(super) fn meal(meal: &MealLogMetadata) -> impl Serialize + '_ {
    Meal {
        raw_input: &meal.raw_input,
        meal_type: meal.meal_type,
        logged_at: Seconds(meal.logged_at),
        notes: meal.notes.as_deref(),
    }
}

#[derive(Serialize)]
struct Training<'a> {
    activity_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    started_at: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_minutes: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calories_burned: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intensity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workout_template_id: Option<&'a RemoteId>,
}

pub(super) fn workout<'a>(
    workout: &'a WorkoutMetadata,
    template: Option<&'a RemoteId>,
) -> impl Serialize + use<'a> {
    Training {
        activity_type: &workout.activity_type,
        title: workout.title.as_deref(),
        started_at: Seconds(workout.started_at),
        duration_minutes: workout.duration_minutes,
        calories_burned: workout.calories_burned,
        intensity: workout.intensity,
        workout_template_id: template,
    }
}

#[derive(Serialize)]
struct Template<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    exercises: Vec<TemplateExercise<'a>>,
}

#[derive(Serialize)]
struct TemplateExercise<'a> {
    exercise_id: &'a str,
    order_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sets: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reps: Option<u32>,
}

pub(super) fn template(template: &WorkoutTemplateMetadata) -> impl Serialize + '_ {
    let exercises = template.exercises.iter().enumerate();
    let exercises = exercises.map(|(order_index, exercise)| TemplateExercise {
        exercise_id: &exercise.exercise_id,
        order_index,
        sets: exercise.sets,
        reps: exercise.reps,
    });
    Template {
        name: &template.name,
        description: template.description.as_deref(),
        category: template.category.as_deref(),
        exercises: exercises.collect(),
    }
}

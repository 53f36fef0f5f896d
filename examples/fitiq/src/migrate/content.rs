//! From the fields of old metadata to an entity; missing values come from the row's creation time.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_import::Reject;
use serde_json::{Value, json};

use super::metadata::Fields;
use crate::entities::{Kind, Record};

/// The entity, its owner, and its creation time.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) id: LocalId,
    pub(super) user: UserId,
    pub(super) at: DateTime<Utc>,
}

/// Numeric fields, which are text in the generic form.
const NUMBERS: [&str; 9] = [
    "value",
    "steps",
    "active_calories",
    "distance_meters",
    "height_cm",
    "duration_minutes",
    "calories_burned",
    "intensity",
    "duration",
];

/// The entity of an old row.
pub(super) fn entity<E: Record>(about: &About, old: &Fields) -> Result<E, Reject> {
    let mut fields: Fields = old.iter().map(|(name, value)| field(name, value)).collect();
    complete(E::KIND, about.at, &mut fields);
    read(about, fields)
}

/// A placeholder for a deleted entity, of which the service only learns the deletion.
pub(super) fn deleted<E: Record>(about: &About) -> Result<E, Reject> {
    let mut fields = Fields::new();
    let placeholders = json!({
        "metric": "steps", "attribute": "weight", "value": 0.0, "name": "", "activity_type": "", "raw_input": "",
    });
    if let Value::Object(placeholders) = placeholders {
        fields.extend(placeholders);
    }
    complete(E::KIND, about.at, &mut fields);
    read(about, fields)
}

fn read<E: Record>(about: &About, mut fields: Fields) -> Result<E, Reject> {
    fields.insert("id".to_owned(), about.id.to_string().into());
    fields.insert("user".to_owned(), about.user.as_str().into());
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Reject::new("metadata is incomplete", error.to_string()))
}

/// A field under its new name, converted to a number if needed.
fn field(name: &str, value: &Value) -> (String, Value) {
    let name = snake(name);
    let number = value.as_str().filter(|_| NUMBERS.contains(&name.as_str()));
    let value = match number.and_then(|text| text.trim().parse::<f64>().ok()) {
        Some(number) => json!(number),
        None => value.clone(),
    };
    (name, value)
}

/// Fields that the old form spelled differently or lacked.
fn complete(kind: Kind, at: DateTime<Utc>, fields: &mut Fields) {
    let time = |at: DateTime<Utc>| Value::from(at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let number = |fields: &mut Fields, name: &str| fields.remove(name)?.as_f64();
    let word = |fields: &Fields, name: &str| fields.get(name)?.as_str().map(snake);
    let default = |fields: &mut Fields, name: &str, value: Value| {
        fields.entry(name.to_owned()).or_insert(value);
    };
    match kind {
        Kind::ProgressEntry => {
            if let Some(metric) = word(fields, "metric_type").or_else(|| word(fields, "metric")) {
                fields.insert("metric".to_owned(), metric.into());
            }
            default(fields, "date", at.date_naive().to_string().into());
            default(fields, "time", at.format("%H:%M:%S").to_string().into());
        }
        Kind::PhysicalAttribute => {
            let names = ["attribute", "attribute_type", "metric_type", "type"];
            if let Some(attribute) = names.iter().find_map(|name| word(fields, name)) {
                fields.insert("attribute".to_owned(), attribute.into());
            }
            default(fields, "date", at.date_naive().to_string().into());
        }
        Kind::ActivitySnapshot => default(fields, "at", time(at)),
        Kind::SleepSession => {
            let duration = number(fields, "duration").unwrap_or_default();
            let slept = TimeDelta::try_seconds(duration as i64).unwrap_or_default();
            if let Some(quality) = number(fields, "quality") {
                default(fields, "notes", format!("quality {quality}").into());
            }
            default(fields, "start", time(at - slept));
            default(fields, "end", time(at));
        }
        Kind::MealLog => {
            let calories = number(fields, "calories");
            let macros = fields.remove("macros").unwrap_or(Value::Null);
            default(fields, "raw_input", meal_in_words(calories, &macros).into());
            default(fields, "meal_type", "snack".into());
            default(fields, "logged_at", time(at));
        }
        Kind::Workout => {
            if let Some(kind) = fields.remove("type") {
                default(fields, "activity_type", kind);
            }
            let seconds = number(fields, "duration");
            let lasted =
                TimeDelta::try_seconds(seconds.unwrap_or_default() as i64).unwrap_or_default();
            default(
                fields,
                "duration_minutes",
                seconds.map(|seconds| seconds / 60.0).into(),
            );
            default(fields, "started_at", time(at - lasted));
        }
        Kind::ProfileMetadata | Kind::ProfilePhysical | Kind::WorkoutTemplate => {}
    }
}

/// Text that the service can analyze.
fn meal_in_words(calories: Option<f64>, macros: &Value) -> String {
    let calories = calories.map(|calories| format!("{calories} kcal"));
    let macros = macros.as_object().into_iter().flatten();
    let macros = macros.filter_map(|(name, grams)| Some(format!("{} g {name}", grams.as_f64()?)));
    let words: Vec<String> = calories.into_iter().chain(macros).collect();
    if words.is_empty() {
        "a meal".to_owned()
    } else {
        words.join(", ")
    }
}

/// `restingHeartRate` becomes `resting_heart_rate`; snake case stays.
fn snake(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

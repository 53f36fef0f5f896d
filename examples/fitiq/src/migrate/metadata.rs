//! The two forms in which the older app wrote metadata: `{"progressEntry":{..}}`, tagged by its
//! only key, as Swift does it, and flat, with the tag as `type` among the fields. In the second,
//! the field `type` of a workout is written over the tag.

use outbox_import::Reject;
use serde_json::{Map, Value};

use crate::entities::Kind;

/// The fields of old metadata without their tag.
pub(super) type Fields = Map<String, Value>;

/// The tag of old metadata.
const TAGS: [&str; 8] = [
    "progressEntry",
    "moodEntry",
    "journalEntry",
    "sleepSession",
    "mealLog",
    "workout",
    "goal",
    GENERIC,
];
const GENERIC: &str = "generic";

/// The fields of the metadata of an event of `kind`.
pub(super) fn fields(kind: Kind, text: &str) -> Result<Fields, Reject> {
    let value =
        serde_json::from_str(text).map_err(|error| unreadable(format!("not JSON: {error}")))?;
    let Value::Object(object) = value else {
        return Err(unreadable("not an object".to_owned()));
    };
    let (tag, fields) = untagged(kind, object)?;
    if tag != GENERIC && tag != kind.event_type() {
        return Err(unreadable(format!("it belongs to a {tag}")));
    }
    Ok(fields)
}

fn untagged(kind: Kind, mut object: Fields) -> Result<(String, Fields), Reject> {
    if object.len() == 1
        && let Some((tag, Value::Object(inner))) = object.iter().next()
        && TAGS.contains(&tag.as_str())
    {
        let (tag, mut inner) = (tag.clone(), inner.clone());
        if tag == GENERIC
            && let Some(Value::Object(entries)) = inner.remove("_0")
        {
            inner = entries;
        }
        return Ok((tag, inner));
    }
    match object.get("type") {
        // It is the type of training, which overwrote the tag; the row's event type says what the
        // row is.
        Some(Value::String(tag)) if kind == Kind::Workout && tag != GENERIC => {
            Ok((Kind::Workout.event_type().to_owned(), object))
        }
        Some(Value::String(tag)) if TAGS.contains(&tag.as_str()) => {
            let tag = tag.clone();
            object.remove("type");
            match object.remove("data") {
                Some(Value::Object(entries)) if tag == GENERIC => Ok((tag, entries)),
                _ => Ok((tag, object)),
            }
        }
        _ => Err(unreadable("it has no known tag".to_owned())),
    }
}

fn unreadable(detail: String) -> Reject {
    Reject::new("unreadable metadata", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: Kind, value: &Value) -> Value {
        Value::Object(fields(kind, &value.to_string()).unwrap())
    }

    /// Failure 17: every variant is read in both forms, and comes out the same.
    #[test]
    fn both_forms_of_every_kind_are_equal() {
        let progress = json!({"metricType": "steps", "value": 3422.0, "unit": "steps"});
        let sleep = json!({"duration": 27_000.0, "quality": 0.8});
        let meal = json!({"calories": 640.0, "macros": {"protein": 30.0}});
        let workout = json!({"type": "running", "duration": 1_800.0});
        for (kind, inner) in [
            (Kind::ProgressEntry, progress),
            (Kind::SleepSession, sleep),
            (Kind::MealLog, meal),
            (Kind::Workout, workout),
        ] {
            let tag = kind.event_type();
            assert_eq!(read(kind, &json!({tag: inner})), inner, "{kind}, tagged");
            let mut flat = inner.clone();
            // The older app wrote the fields of a workout after the tag, and over it.
            if kind != Kind::Workout {
                flat["type"] = tag.into();
            }
            assert_eq!(read(kind, &flat), inner, "{kind}, flat");
        }
        for generic in [
            json!({"generic": {"_0": {"name": "Push"}}}),
            json!({"type": "generic", "data": {"name": "Push"}}),
        ] {
            assert_eq!(
                read(Kind::WorkoutTemplate, &generic),
                json!({"name": "Push"})
            );
        }
    }

    #[test]
    fn ambiguous_metadata_is_rejected() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":"unheard-of"}"#,
            r#"{"goal":{"title":"x"}}"#,
            "{",
        ] {
            assert!(fields(Kind::ProgressEntry, text).is_err(), "{text}");
        }
    }
}

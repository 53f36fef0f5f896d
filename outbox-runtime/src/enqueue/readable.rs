//! Checks that freshly serialized metadata can be read back.
//!
//! Some types serialize to JSON that they cannot deserialize: a flattened map with integer keys, a
//! flattened `u128`, a flattened map with the name of a field, `skip_serializing_if` without
//! `default`. Such an event would become a dead letter at its first attempt, on the device of a
//! user. Reading the metadata back costs as much as writing it, so the check runs only during
//! development: in debug builds and with the feature `testing`.

use serde_json::{Map, Value};

use crate::entity::OutboxEntity;
use crate::error::EnqueueError;
use crate::metadata::{DecodeError, RawMetadata, Sight};

/// Reads `metadata` as the entity's handler will, in builds that check.
pub(super) fn check<E: OutboxEntity>(metadata: &RawMetadata) -> Result<(), EnqueueError> {
    if !cfg!(any(debug_assertions, feature = "testing")) {
        return Ok(());
    }
    let Err(error) = metadata.decode::<E::Metadata>() else {
        return Ok(());
    };
    let reads = |value: &Map<String, Value>| {
        let json = serde_json::to_vec(value).unwrap_or_default();
        RawMetadata::from_bytes(json).decode::<E::Metadata>().err()
    };
    let sight = Sight::of::<E::Metadata>(E::SENSITIVE);
    Err(EnqueueError::Unreadable {
        event_type: E::EVENT_TYPE.to_owned(),
        path: path(metadata.as_bytes(), &error, sight, reads),
        reason: match DecodeError::metadata(E::EVENT_TYPE, metadata, &error, sight) {
            DecodeError::Metadata { reason, .. } => reason,
            other => other.to_string(),
        },
    })
}

/// The path of the fault within the metadata, if it can be determined.
fn path(
    json: &[u8],
    error: &serde_json::Error,
    sight: Sight,
    reads: impl Fn(&Map<String, Value>) -> Option<serde_json::Error>,
) -> Option<String> {
    let at = match sight {
        Sight::All => path_at(json, error.line(), error.column()),
        // A map key may be sensitive data.
        Sight::Places { .. } => Some(sight.path(json, error)).filter(|path| !path.is_empty()),
    };
    at.or_else(|| named(&without_place(error)).filter(|key| sight.shows_key(key)))
        // Serde reads flattened fields last, so the error points to the end.
        .or_else(|| culprit(json, error, reads).filter(|key| sight.shows_key(key)))
}

/// The path of the value that contains the position, or ends before it, below the outermost object.
fn path_at(json: &[u8], line: usize, column: usize) -> Option<String> {
    if line != 1 {
        return None;
    }
    let mut path: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < column.min(json.len()) {
        match json[at] {
            b'{' => path.push(Step::Key(String::new())),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => drop(path.pop()),
            b',' => {
                if let Some(Step::Index(index)) = path.last_mut() {
                    *index += 1;
                } else if let Some(Step::Key(key)) = path.last_mut() {
                    key.clear();
                }
            }
            b'"' => {
                let end = end_of_string(json, at);
                let is_key = json[end..].trim_ascii_start().first() == Some(&b':');
                if let (true, Some(Step::Key(key))) = (is_key, path.last_mut()) {
                    *key = serde_json::from_slice(&json[at..end]).unwrap_or_default();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let steps = path.iter().filter_map(Step::text);
    let path = steps.collect::<Vec<_>>().join(".");
    (!path.is_empty()).then_some(path)
}

enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn text(&self) -> Option<String> {
        match self {
            Self::Key(key) if key.is_empty() => None,
            Self::Key(key) => Some(key.clone()),
            Self::Index(index) => Some(index.to_string()),
        }
    }
}

/// The position after the string that begins at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

/// The field that the error names, if any.
fn named(error: &str) -> Option<String> {
    let phrases = ["missing field `", "duplicate field `", "unknown field `"];
    let rest = phrases
        .iter()
        .find_map(|phrase| error.strip_prefix(phrase))?;
    Some(rest.split('`').next()?.to_owned())
}

/// The outermost key whose removal makes the error disappear.
fn culprit(
    json: &[u8],
    error: &serde_json::Error,
    reads: impl Fn(&Map<String, Value>) -> Option<serde_json::Error>,
) -> Option<String> {
    let Ok(Value::Object(mut left)) = serde_json::from_slice(json) else {
        return None;
    };
    let same = without_place(error);
    let keys: Vec<String> = left.keys().cloned().collect();
    let mut needed = Vec::new();
    for key in keys {
        let Some(value) = left.remove(&key) else {
            continue;
        };
        match reads(&left).map(|error| without_place(&error)) {
            Some(error) if error == same => {}
            Some(error) if error == format!("missing field `{key}`") => {
                needed.push(key.clone());
                left.insert(key, value);
            }
            _ => return Some(key),
        }
    }
    // Blame a required key only if there is exactly one.
    match &mut needed[..] {
        [one] => Some(std::mem::take(one)),
        _ => None,
    }
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

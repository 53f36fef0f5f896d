//! Metadata: what an event carries, typed in the program and JSON in the row.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

/// The metadata of an event as it stands in its row: the JSON of the typed struct, byte for byte.
///
/// It is not validated on reading, so that one damaged row can be listed, explained and exported like any other.
/// `Debug` shows its length and never its content: payloads do not belong in logs.
///
/// # Examples
///
/// ```
/// use outbox_runtime::RawMetadata;
///
/// let raw = RawMetadata::encode(&serde_json::json!({ "valence": 0.5 }))?;
/// assert_eq!(raw.as_str(), Some(r#"{"valence":0.5}"#));
/// assert_eq!(format!("{raw:?}"), "RawMetadata(15 bytes)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawMetadata(Vec<u8>);

impl RawMetadata {
    /// Takes bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    ///
    /// Where the value's `Serialize` fails, or a map has keys that JSON cannot have.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self)
    }

    /// Reads the JSON as a typed value.
    ///
    /// # Errors
    ///
    /// Where the bytes are not JSON, or not of that shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The bytes of the row.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of the row, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes at all (an empty object has two).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for RawMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawMetadata({} bytes)", self.0.len())
    }
}

impl Serialize for RawMetadata {
    /// The JSON itself; damaged metadata becomes a JSON string of what can be read of it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_slice::<&RawValue>(&self.0) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for RawMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(String::from(Box::<str>::from(json)).into_bytes()))
    }
}

/// A row could not be read as the entity's event.
///
/// The processor makes such a row a dead letter, alone, with this as its reason.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The set has no entity with this event type.
    #[error("event type {event_type:?} is not one of {known:?}")]
    UnknownEventType {
        /// The type in the row.
        event_type: String,
        /// The types that the set knows.
        known: &'static [&'static str],
    },
    /// The row is of another event type than the entity asked for.
    #[error("the event is a {found:?}, not a {expected:?}")]
    OtherEventType {
        /// The type in the row.
        found: String,
        /// The type of the entity.
        expected: &'static str,
    },
    /// The row has no metadata although its type needs some.
    #[error("a {event_type:?} event has no metadata")]
    Missing {
        /// The type in the row.
        event_type: String,
    },
    /// The metadata is not JSON, or not of the entity's shape.
    #[error("the metadata of a {event_type:?} event cannot be decoded: {reason}")]
    Metadata {
        /// The type in the row.
        event_type: String,
        /// Where and why, without the value that was found.
        reason: String,
    },
}

impl DecodeError {
    /// The serializer's error without the value it quotes: payloads do not belong in messages and logs.
    pub(crate) fn metadata(event_type: &str, error: &serde_json::Error) -> Self {
        Self::Metadata {
            event_type: event_type.to_owned(),
            reason: without_value(&error.to_string()),
        }
    }
}

/// `invalid type: string "secret", expected f64 at ..` → `invalid type: string, expected f64 at ..`.
fn without_value(message: &str) -> String {
    const QUOTING: [&str; 3] = ["invalid type: ", "invalid value: ", "unknown variant "];
    let quoted = || {
        let phrase = QUOTING.iter().find_map(|phrase| message.find(phrase))?;
        let value = phrase + message[phrase..].find(['"', '`'])?;
        let rest = message.rfind(", expected").filter(|rest| *rest > value)?;
        Some((value, rest))
    };
    match quoted() {
        Some((value, rest)) => format!("{}{}", message[..value].trim_end(), &message[rest..]),
        None => message.to_owned(),
    }
}

//! Why a row cannot be read as its type, without the value that was found.

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::field_names::field_names;
use super::raw::RawMetadata;
use crate::redaction::{Sensitive, path_at};

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
    /// A newer program wrote the row. Its bytes are kept, and once this program is as new the event can be retried.
    #[error(
        "the metadata of a {event_type:?} event has version {found}, and this program knows versions up to {known}: \
         update it, then retry the event"
    )]
    NewerVersion {
        /// The type in the row.
        event_type: String,
        /// The version in the row.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The row is of an older version, and the entity does not say how that is read. An entity with the derive always does.
    #[error(
        "the metadata of a {event_type:?} event has version {found}, which this program does not read any more: \
         name a type for it in `OutboxEntity::upcast`, then retry the event"
    )]
    UnknownVersion {
        /// The type in the row.
        event_type: String,
        /// The version in the row.
        found: u32,
    },
    /// The metadata is not JSON, or not of the entity's shape.
    #[error("the metadata of a {event_type:?} event cannot be decoded: {reason}")]
    Metadata {
        /// The type in the row.
        event_type: String,
        /// Where and why, without the value that was found. Only where, as path, line and column, if the entity has sensitive
        /// fields.
        reason: String,
    },
}

impl DecodeError {
    /// The serializer's error without the value it quotes: payloads do not belong in messages and logs.
    pub(crate) fn metadata(
        event_type: &str,
        raw: &RawMetadata,
        error: &serde_json::Error,
        sight: Sight,
    ) -> Self {
        Self::Metadata {
            event_type: event_type.to_owned(),
            reason: match sight {
                Sight::All => without_value(&error.to_string()),
                Sight::Places { .. } => sight.place(raw.as_bytes(), error),
            },
        }
    }
}

/// Why a value is not of an entity's shape, without the value.
pub(crate) fn reason(error: &serde_json::Error, sensitive: Sensitive) -> String {
    match sensitive {
        Sensitive::Nothing => without_value(&error.to_string()),
        Sensitive::AllBut(_) | Sensitive::ByHand => "it is of another form".to_owned(),
    }
}

/// What an error about metadata may show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sight {
    /// What serde says, without the value that it found.
    All,
    /// Where it is. Why, is a text that code of the application may have made of the value.
    Places {
        /// The fields of the outermost object within which keys are shown.
        shown: &'static [&'static str],
        /// The fields that have a name. Other keys may be those of a flattened map.
        named: &'static [&'static str],
    },
}

impl Sight {
    /// What errors about metadata of this type may show, of which `sensitive` is hidden.
    pub(crate) fn of<M: DeserializeOwned>(sensitive: Sensitive) -> Self {
        let shown: &[&str] = match sensitive {
            Sensitive::Nothing => return Self::All,
            Sensitive::AllBut(shown) => shown,
            Sensitive::ByHand => &[],
        };
        let named = field_names::<M>().unwrap_or_default();
        Self::Places { shown, named }
    }

    /// Whether it may show a key of the outermost object.
    pub(crate) fn shows_key(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Places { shown, named } => shown.contains(&key) || named.contains(&key),
        }
    }

    /// Where reading failed, as a path.
    pub(crate) fn path(self, json: &[u8], error: &serde_json::Error) -> String {
        let (line, column) = (error.line(), error.column());
        let before: usize = json
            .split_inclusive(|byte| *byte == b'\n')
            .take(line.saturating_sub(1))
            .map(<[u8]>::len)
            .sum();
        let end = before.saturating_add(column).min(json.len());
        let read = json.get(..end).unwrap_or(json).trim_ascii_end();
        // After an error in the last field of an object the end of the object is read as well. A
        // field that is missing is missed at that end.
        let is_missing = error.to_string().contains("missing field `");
        let read = match read {
            [within @ .., b'}' | b']'] if !is_missing => within,
            read => read,
        };
        let shown = match self {
            Self::All => &[],
            Self::Places { shown, .. } => shown,
        };
        path_at(read, shown, |key| self.shows_key(key))
    }

    fn place(self, json: &[u8], error: &serde_json::Error) -> String {
        let (line, column) = (error.line(), error.column());
        match self.path(json, error).as_str() {
            "" => format!("it is of another form, at line {line} column {column}"),
            path => format!("`{path}` is of another form, at line {line} column {column}"),
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

//! The error of a row that cannot be decoded, without the value that was found.

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::field_names::field_names;
use super::raw::RawMetadata;
use crate::redaction::{Sensitive, path_at};

/// A row cannot be decoded as its entity's event.
///
/// The processor makes such a row a dead letter with this error as the reason; other rows are
/// unaffected.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_runtime::{DecodeError, NewEvent};
///
/// let other = NewEvent::new("mood", 7, "user-1", Operation::Update);
/// let record = MemoryStore::new().create_event(other).await?;
/// let error = Event::<Goal>::decode(record).err();
/// assert!(matches!(error, Some(DecodeError::OtherEventType { expected: "goal", .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The set has no entity with this event type.
    #[error("event type {event_type:?} is not one of {known:?}")]
    UnknownEventType {
        /// The event type of the row.
        event_type: String,
        /// The event types of the set.
        known: &'static [&'static str],
    },
    /// The row has another event type than the requested entity.
    #[error("the event type is {found:?}, not {expected:?}")]
    OtherEventType {
        /// The event type of the row.
        found: String,
        /// The event type of the entity.
        expected: &'static str,
    },
    /// The row has no metadata, although its type requires some.
    #[error("a {event_type:?} event has no metadata")]
    Missing {
        /// The event type of the row.
        event_type: String,
    },
    /// A newer program wrote the row. Its bytes are kept; once this program is updated, the event
    /// can be retried.
    #[error(
        "the metadata of a {event_type:?} event has version {found}, and this program knows versions up to {known}: \
         update it, then retry the event"
    )]
    NewerVersion {
        /// The event type of the row.
        event_type: String,
        /// The version of the row.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The row has an older version that the entity has no type for. Cannot happen with a derived
    /// entity.
    #[error(
        "the metadata of a {event_type:?} event has version {found}, which this program no longer reads: \
         declare its type in `OutboxEntity::upcast`, then retry the event"
    )]
    UnknownVersion {
        /// The event type of the row.
        event_type: String,
        /// The version of the row.
        found: u32,
    },
    /// The metadata is not JSON, or not of the entity's shape.
    #[error("the metadata of a {event_type:?} event cannot be decoded: {reason}")]
    Metadata {
        /// The event type of the row.
        event_type: String,
        /// The location and the reason, without the value. If the entity has sensitive fields, only
        /// the location: path, line and column.
        reason: String,
    },
}

impl DecodeError {
    /// Creates the error from the serializer's error, without the value that it quotes: payloads
    /// must not appear in messages and logs.
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

/// The reason why a value does not have an entity's shape, without the value.
pub(crate) fn reason(error: &serde_json::Error, sensitive: Sensitive) -> String {
    match sensitive {
        Sensitive::Nothing => without_value(&error.to_string()),
        Sensitive::AllBut(_) | Sensitive::ByHand => "it has another shape".to_owned(),
    }
}

/// How much an error about metadata may reveal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sight {
    /// The text of serde's error, without the value it found.
    All,
    /// Only the location. The reason is a text that the application's code may have derived from
    /// the value.
    Places {
        /// The fields of the outermost object whose inner keys may be shown.
        shown: &'static [&'static str],
        /// The names of the fields. Other keys may belong to a flattened map.
        named: &'static [&'static str],
    },
}

impl Sight {
    /// How much an error about metadata of this type may reveal.
    pub(crate) fn of<M: DeserializeOwned>(sensitive: Sensitive) -> Self {
        let shown: &[&str] = match sensitive {
            Sensitive::Nothing => return Self::All,
            Sensitive::AllBut(shown) => shown,
            Sensitive::ByHand => &[],
        };
        let named = field_names::<M>().unwrap_or_default();
        Self::Places { shown, named }
    }

    /// Whether a key of the outermost object may be shown.
    pub(crate) fn shows_key(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Places { shown, named } => shown.contains(&key) || named.contains(&key),
        }
    }

    /// The path at which decoding failed.
    pub(crate) fn path(self, json: &[u8], error: &serde_json::Error) -> String {
        let (line, column) = (error.line(), error.column());
        let before: usize = json
            .split_inclusive(|byte| *byte == b'\n')
            .take(line.saturating_sub(1))
            .map(<[u8]>::len)
            .sum();
        let end = before.saturating_add(column).min(json.len());
        let read = json.get(..end).unwrap_or(json).trim_ascii_end();
        // After an error in the last field of an object, the end of the object has been read as
        // well. A missing field is detected at that end.
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
            "" => format!("it has another shape, at line {line} column {column}"),
            path => format!("`{path}` has another shape, at line {line} column {column}"),
        }
    }
}

/// `invalid type: string "secret", expected f64 at ..` → `invalid type: string, expected f64 at
/// ..`.
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

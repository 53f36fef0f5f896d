//! Ids that cannot be confused: an entity's own, the service's id of it, and its owner.

use std::borrow::Cow;
use std::fmt;

use outbox_runtime::rusqlite::types::{
    FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef,
};
use outbox_runtime::{EntityId, rusqlite};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The id of an entity on this device, made before the service knows the entity.
///
/// It cannot become a [`RemoteId`]:
///
/// ```compile_fail
/// use fitiq_core::{LocalId, RemoteId};
///
/// fn remote(id: LocalId) -> RemoteId {
///     id.into()
/// }
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, EntityId,
)]
#[serde(transparent)]
pub struct LocalId(Uuid);

/// The id of an entity at the service. It comes from a response of the service, or from where one
/// was stored.
///
/// UUIDs are kept in lower case, because the service compares them byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RemoteId(String);

/// The id of an account, from the only session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, EntityId)]
#[serde(transparent)]
pub struct UserId(String);

/// A text that cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not {what}: {reason}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    reason: &'static str,
}

impl LocalId {
    /// A new one.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "every call makes a new one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// An existing one: of an older app, another device or a seed.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The stored form.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl RemoteId {
    /// An id as written by the service or stored by an older app.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if it cannot be an id of the service: empty, longer than 255 bytes, with
    /// control characters, or a placeholder that apps wrote (`none`, `null`, `nil`).
    pub fn recorded(text: &str) -> Result<Self, InvalidId> {
        let text = checked("an id of the service", text)?;
        if ["none", "null", "nil"].contains(&text.to_ascii_lowercase().as_str()) {
            return Err(InvalidId {
                what: "an id of the service",
                text: text.to_owned(),
                reason: "it is a placeholder for a missing id",
            });
        }
        Ok(Self(match Uuid::try_parse(text) {
            Ok(id) => id.to_string(),
            Err(_) => text.to_owned(),
        }))
    }

    /// The service's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserId {
    /// The id of an account, as written by the service or an older app.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if it is empty, longer than 255 bytes, or has control characters.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        Ok(Self(checked("a user id", text)?.to_owned()))
    }

    /// The service's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked<'t>(what: &'static str, text: &'t str) -> Result<&'t str, InvalidId> {
    let reason = if text.trim().is_empty() {
        "it is empty"
    } else if text.len() > 255 {
        "it is longer than 255 bytes"
    } else if text.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(text.trim());
    };
    Err(InvalidId {
        what,
        text: text.chars().take(40).collect(),
        reason,
    })
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

macro_rules! shown_as_text {
    ($($id:ident),+) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

shown_as_text!(LocalId, RemoteId, UserId);

// In a database: a local id as its 16 bytes, the others as text.

impl ToSql for LocalId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for LocalId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

macro_rules! stored_as_text {
    ($($id:ident by $read:path),+) => {$(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                $read(value.as_str()?).map_err(FromSqlError::other)
            }
        }
    )+};
}

stored_as_text!(RemoteId by RemoteId::recorded, UserId by UserId::new);

impl<'de> Deserialize<'de> for RemoteId {
    /// A string, or a number, as some services write ids.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Text(#[serde(borrow)] Cow<'a, str>),
            Number(i64),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into_owned(),
            Written::Number(number) => number.to_string(),
        };
        Self::recorded(&text).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_no_remote_id() {
        for text in ["", "  ", "none", "None", "null", "nil", "a\nb"] {
            assert!(RemoteId::recorded(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_remote_uuid_has_the_spelling_of_the_service() {
        let upper = "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10";
        let id = RemoteId::recorded(upper).unwrap();
        assert_eq!(id.as_str(), upper.to_lowercase());
        assert_eq!(RemoteId::recorded("mood-17").unwrap().as_str(), "mood-17");
    }

    #[test]
    fn a_remote_id_may_be_a_number() {
        let id: RemoteId = serde_json::from_str("4711").unwrap();
        assert_eq!(id.as_str(), "4711");
    }
}

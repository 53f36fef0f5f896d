//! Values to look up rows by.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use uuid::Uuid;

/// The keys of the rows for each value of a column.
pub(super) type Index = HashMap<SourceKey, Vec<i64>>;

/// A value to look up rows by with [`Source::find`](crate::Source::find). A UUID is found in every
/// form that a column may have: 16 bytes, or text in either case.
///
/// # Examples
///
/// ```
/// use outbox_import::SourceKey;
/// use uuid::Uuid;
///
/// let id = Uuid::try_parse("7d1c3b8e-51f0-4e5a-9c77-0b9e1c0c2f10")?;
/// assert_eq!(SourceKey::from(id), SourceKey::from("7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10"));
/// // An integer is not its digits.
/// assert_ne!(SourceKey::from(7_i64), SourceKey::from("7"));
/// # Ok::<(), uuid::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceKey(Key);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Uuid(Uuid),
    Integer(i64),
    Text(String),
}

impl From<Uuid> for SourceKey {
    fn from(id: Uuid) -> Self {
        Self(Key::Uuid(id))
    }
}

impl From<i64> for SourceKey {
    fn from(id: i64) -> Self {
        Self(Key::Integer(id))
    }
}

impl From<&str> for SourceKey {
    fn from(text: &str) -> Self {
        Self(Uuid::try_parse(text).map_or_else(|_| Key::Text(text.to_owned()), Key::Uuid))
    }
}

impl From<String> for SourceKey {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl SourceKey {
    pub(super) fn of(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(id) => Some(Self::from(id)),
            ValueRef::Text(text) => Some(Self::from(std::str::from_utf8(text).ok()?)),
            ValueRef::Blob(bytes) => Some(Self::from(Uuid::from_slice(bytes).ok()?)),
            ValueRef::Null | ValueRef::Real(_) => None,
        }
    }
}

//! Values that any driver has.

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// A value of a parameter or a column. There are only two types, `bigint` and `text`, so that any
/// driver has them; the statements convert them.
///
/// # Examples
///
/// ```
/// use outbox_postgres::PostgresValue;
///
/// /// The type that a driver declares for a parameter.
/// fn type_of(value: &PostgresValue) -> &'static str {
///     match value {
///         PostgresValue::Integer(_) => "bigint",
///         PostgresValue::Text(_) => "text",
///     }
/// }
///
/// assert_eq!(type_of(&PostgresValue::Integer(None)), "bigint");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresValue {
    /// A `bigint`, or NULL.
    Integer(Option<i64>),
    /// A `text`, or NULL.
    Text(Option<String>),
}

pub(crate) fn integer(number: i64) -> PostgresValue {
    PostgresValue::Integer(Some(number))
}

pub(crate) fn text(text: &str) -> PostgresValue {
    some_text(Some(text))
}

pub(crate) fn some_text(text: Option<&str>) -> PostgresValue {
    PostgresValue::Text(text.map(str::to_owned))
}

pub(crate) fn uuid(id: Uuid) -> PostgresValue {
    PostgresValue::Text(Some(id.to_string()))
}

pub(crate) fn code(code: i8) -> PostgresValue {
    PostgresValue::Text(Some(char::from(code.cast_unsigned()).to_string()))
}

pub(crate) fn time(at: Option<DateTime<Utc>>) -> PostgresValue {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    PostgresValue::Text(at.map(text))
}

/// An array of numbers or ids, as PostgreSQL writes it.
pub(crate) fn array<T: ToString>(elements: impl Iterator<Item = T>) -> PostgresValue {
    let elements: Vec<String> = elements.map(|element| element.to_string()).collect();
    PostgresValue::Text(Some(format!("{{{}}}", elements.join(","))))
}

/// A row.
#[derive(Debug)]
pub(crate) struct Columns(pub(crate) Vec<PostgresValue>);

impl Columns {
    pub(crate) fn integer(&self, at: usize) -> Option<i64> {
        match self.0.get(at) {
            Some(PostgresValue::Integer(number)) => *number,
            _ => None,
        }
    }

    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        match self.0.get(at) {
            Some(PostgresValue::Text(text)) => text.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn uuid(&self, at: usize) -> Result<Uuid, uuid::Error> {
        Uuid::parse_str(self.text(at).unwrap_or_default())
    }

    pub(crate) fn code(&self, at: usize) -> Option<i8> {
        let byte = self.text(at)?.bytes().next()?;
        Some(byte.cast_signed())
    }
}

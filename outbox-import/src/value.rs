//! The value of a column, and what it means as a number or a date.

use std::fmt::{self, Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::hash::Hasher;
use super::table::SourceDates;

/// The value of a column, as SQLite stores it. `Debug` shows the type and the length, never the
/// content.
///
/// # Examples
///
/// ```
/// use outbox_import::{Reject, SourceRow, SourceValue};
/// # use outbox_import::SourceTable;
///
/// /// Version 1 of the old program wrote a word, and later ones a boolean.
/// fn is_done(row: &SourceRow) -> Result<bool, Reject> {
///     match row.value("done")? {
///         SourceValue::Text(word) => Ok(word == b"yes"),
///         _ => row.boolean("done"),
///     }
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE task (done); INSERT INTO task VALUES ('yes')")?;
/// # let source = outbox_import::Source::open(&path)?;
/// # let row = source.get(&SourceTable::plain("task"), 1)?.ok_or("no row")?;
/// assert!(is_done(&row)?);
/// assert_eq!(format!("{:?}", row.value("done")?), "text of 3 bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SourceValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, which may be invalid UTF-8.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl SourceValue {
    /// The type and the length, for messages. Never the content.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(_) => "an integer".to_owned(),
            Self::Real(_) => "a real number".to_owned(),
            Self::Text(text) if std::str::from_utf8(text).is_err() => {
                format!("text of {} bytes that is not UTF-8", text.len())
            }
            Self::Text(text) => format!("text of {} bytes", text.len()),
            Self::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
        }
    }

    pub(super) fn hash(&self, hasher: &mut Hasher) {
        match self {
            Self::Null => hasher.part(b"null", b""),
            Self::Integer(number) => hasher.part(b"integer", &number.to_be_bytes()),
            Self::Real(number) => hasher.part(b"real", &number.to_bits().to_be_bytes()),
            Self::Text(text) => hasher.part(b"text", text),
            Self::Blob(bytes) => hasher.part(b"blob", bytes),
        }
    }

    /// JSON for people and tools: blobs as `{"hex": ".."}`, text that is not UTF-8 as `{"text_hex":
    /// ".."}`, and numbers that JSON cannot express as `{"real": ".."}`.
    pub(super) fn to_json(&self) -> Value {
        let tagged = |tag: &str, text: String| {
            Value::Object(Map::from_iter([(tag.to_owned(), text.into())]))
        };
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => (*number).into(),
            Self::Real(number) => serde_json::Number::from_f64(*number)
                .map_or_else(|| tagged("real", number.to_string()), Value::Number),
            Self::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => text.into(),
                Err(_) => tagged("text_hex", hex(text)),
            },
            Self::Blob(bytes) => tagged("hex", hex(bytes)),
        }
    }
}

impl fmt::Debug for SourceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The integer that a real number equals, if both types represent it exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

/// A decimal number as its shortest exact text. SQLite stores a DECIMAL as an integer or a real
/// number.
pub(super) fn decimal(value: &SourceValue) -> Option<String> {
    match value {
        SourceValue::Integer(number) => Some(number.to_string()),
        SourceValue::Real(number) => number.is_finite().then(|| number.to_string()),
        SourceValue::Text(text) => {
            let text = std::str::from_utf8(text).ok()?.trim();
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            let is_number =
                |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
            (is_number(whole) && is_number(fraction)).then(|| text.to_owned())
        }
        SourceValue::Null | SourceValue::Blob(_) => None,
    }
}

pub(super) fn date(value: &SourceValue, dates: SourceDates) -> Option<DateTime<Utc>> {
    /// 2001-01-01 UTC, in seconds since 1970.
    const REFERENCE: i64 = 978_307_200;
    let (offset, micros_each) = match dates {
        SourceDates::SinceReferenceDate => (REFERENCE, 1_000_000),
        SourceDates::UnixSeconds => (0, 1_000_000),
        SourceDates::UnixMillis => (0, 1_000),
        SourceDates::UnixMicros => (0, 1),
    };
    let micros = match value {
        SourceValue::Integer(number) => number.checked_mul(micros_each)?,
        SourceValue::Real(number) => {
            // The whole part is converted separately so that a date far away keeps its fraction.
            let fraction = number.fract() * micros_each as f64;
            let whole = whole(number.trunc())?.checked_mul(micros_each)?;
            whole.checked_add(fraction.round() as i64)?
        }
        SourceValue::Text(text) => {
            let text = std::str::from_utf8(text).ok()?;
            return Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
        }
        SourceValue::Null | SourceValue::Blob(_) => return None,
    };
    DateTime::from_timestamp_micros(micros)?.checked_add_signed(TimeDelta::seconds(offset))
}

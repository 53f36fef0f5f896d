//! One row of the source, whatever is in it, and reading its columns as what they should be.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::ImportError;
use super::hash::{Hash, Hasher};
use super::mapper::{Reject, RejectReason};
use super::table::{Shape, SourceDates};

/// What a column holds, as SQLite stores it. `Debug` shows the type and the length, never the content.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SourceValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, which need not be UTF-8.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl SourceValue {
    /// The type and the length, for people: never the content.
    fn kind(&self) -> String {
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

    /// For people and tools: blobs as `{"hex": ".."}`, text that is not UTF-8 as `{"text_hex": ".."}`, and numbers that JSON
    /// does not have as `{"real": ".."}`.
    fn to_json(&self) -> Value {
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

/// One row of the source.
///
/// The getters read a column as what it should be. A value that is missing or damaged is a [`Reject`] with the column's name, so
/// that `?` in a [`RowMapper`](super::RowMapper) puts the row aside and the import goes on; a column that the table does not
/// have at all ends the import. `Debug` shows no content.
#[derive(Debug, Clone)]
pub struct SourceRow {
    pub(super) shape: Arc<Shape>,
    pub(super) key: i64,
    pub(super) values: Vec<SourceValue>,
}

/// A getter for what must be there, and one for what may be NULL.
macro_rules! getters {
    ($($what:literal: $must:ident, $may:ident -> $type:ty, $read:expr;)+) => {$(
        #[doc = concat!("The column as ", $what, ", which must be there.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] where it is NULL or something else.
        pub fn $must(&self, column: &str) -> Result<$type, Reject> {
            self.$may(column)?.ok_or_else(|| {
                Reject::new(RejectReason::Missing { column: column.to_owned() }, "it is NULL and must not be")
            })
        }

        #[doc = concat!("The column as ", $what, ", or `None` where it is NULL.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] where it is something else.
        pub fn $may(&self, column: &str) -> Result<Option<$type>, Reject> {
            let value = self.value(column)?;
            if *value == SourceValue::Null {
                return Ok(None);
            }
            let read: fn(&Self, &SourceValue) -> Option<$type> = $read;
            match read(self, value) {
                Some(read) => Ok(Some(read)),
                None => Err(Reject::new(
                    RejectReason::Damaged { column: column.to_owned() },
                    format!(concat!("{} where ", $what, " should be"), value.kind()),
                )),
            }
        }
    )+};
}

impl SourceRow {
    /// The table's name as it was given: that of the entity, or of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shape.table.name
    }

    /// What tells the rows of the table apart: `Z_PK`, or `rowid`.
    #[must_use]
    pub fn key(&self) -> i64 {
        self.key
    }

    /// What the column holds, whatever it is.
    ///
    /// # Errors
    ///
    /// A [`Reject`] that ends the import, where the table has no such column.
    pub fn value(&self, column: &str) -> Result<&SourceValue, Reject> {
        match self.shape.column(column) {
            Some(at) => Ok(&self.values[at]),
            None => Err(Reject::from(ImportError::ColumnMissing {
                path: self.shape.path.clone(),
                table: self.shape.name.clone(),
                column: column.to_owned(),
                there: self.shape.columns.clone(),
            })),
        }
    }

    /// Whether the table has the column.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.shape.column(column).is_some()
    }

    getters! {
        "a UUID (16 bytes, or text in either case)": uuid, opt_uuid -> Uuid, |_, value| match value {
            SourceValue::Blob(bytes) => Uuid::from_slice(bytes).ok(),
            SourceValue::Text(text) => Uuid::try_parse_ascii(text).ok(),
            _ => None,
        };
        "text": text, opt_text -> String, |_, value| match value {
            SourceValue::Text(text) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        "bytes (a blob, or text as its bytes)": bytes, opt_bytes -> Vec<u8>, |_, value| match value {
            SourceValue::Blob(bytes) | SourceValue::Text(bytes) => Some(bytes.clone()),
            _ => None,
        };
        "an integer": integer, opt_integer -> i64, |_, value| match value {
            SourceValue::Integer(number) => Some(*number),
            SourceValue::Real(number) => whole(*number),
            _ => None,
        };
        "a number": real, opt_real -> f64, |_, value| match value {
            SourceValue::Integer(number) => Some(*number as f64),
            SourceValue::Real(number) => Some(*number),
            _ => None,
        };
        "a truth value (0 or 1)": boolean, opt_boolean -> bool, |_, value| match value {
            SourceValue::Integer(0) => Some(false),
            SourceValue::Integer(1) => Some(true),
            _ => None,
        };
        "a date": date, opt_date -> DateTime<Utc>, |row, value| date(value, row.shape.table.dates);
    }

    /// The whole row as JSON, as it stands in the table of what was rejected. Nothing is lost: blobs are `{"hex": ".."}`, text
    /// that is not UTF-8 is `{"text_hex": ".."}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns = self.shape.columns.iter().zip(&self.values);
        Value::Object(
            columns
                .map(|(column, value)| (column.clone(), value.to_json()))
                .collect(),
        )
    }

    /// Which row it is and what is in it.
    pub(super) fn hash(&self) -> Hash {
        let mut hasher = Hasher::new();
        hasher.part(b"key", &self.key.to_be_bytes());
        for at in &self.shape.by_name {
            hasher.part(b"column", self.shape.columns[*at].as_bytes());
            match &self.values[*at] {
                SourceValue::Null => hasher.part(b"null", b""),
                SourceValue::Integer(number) => hasher.part(b"integer", &number.to_be_bytes()),
                SourceValue::Real(number) => hasher.part(b"real", &number.to_bits().to_be_bytes()),
                SourceValue::Text(text) => hasher.part(b"text", text),
                SourceValue::Blob(bytes) => hasher.part(b"blob", bytes),
            }
        }
        hasher.finish()
    }
}

/// The integer that a real number is, if it is one that both can hold.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

fn date(value: &SourceValue, dates: SourceDates) -> Option<DateTime<Utc>> {
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
            // Apart from its whole part, so that the fraction of a far date is not rounded away.
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

//! One row of the source, and typed getters for its columns.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::external;
use super::hash::{Hash, Hasher};
use super::reject::{Reject, RejectReason};
use super::shape::Shape;
use super::table::SourceDates;

/// The value of a column, as SQLite stores it. `Debug` shows the type and the length, never the
/// content.
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

    fn hash(&self, hasher: &mut Hasher) {
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
/// Each getter reads a column as one type. A missing or damaged value yields a [`Reject`] with the
/// column's name, so `?` in a [`RowMapper`](crate::RowMapper) puts the row aside and the import
/// continues. A column that the table does not have ends the import. `Debug` shows no content.
#[derive(Debug, Clone)]
pub struct SourceRow {
    pub(super) shape: Arc<Shape>,
    pub(super) key: i64,
    pub(super) values: Vec<SourceValue>,
}

pub(super) fn missing(column: &str) -> Reject {
    let column = column.to_owned();
    Reject::new(
        RejectReason::Missing { column },
        "the column is NULL and must have a value",
    )
}

pub(super) fn damaged(column: &str, detail: &str) -> Reject {
    let column = column.to_owned();
    Reject::new(RejectReason::Damaged { column }, detail)
}

/// Defines two getters for each type: one for required values, one for values that may be NULL.
macro_rules! getters {
    ($($what:literal: $must:ident, $may:ident -> $type:ty, $read:expr;)+) => {$(
        #[doc = concat!("The column as ", $what, ". It must have a value.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] if the column is NULL or holds another type.
        pub fn $must(&self, column: &str) -> Result<$type, Reject> {
            self.$may(column)?.ok_or_else(|| missing(column))
        }

        #[doc = concat!("The column as ", $what, ", or `None` if it is NULL.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] if the column holds another type.
        pub fn $may(&self, column: &str) -> Result<Option<$type>, Reject> {
            let at = self.place(column)?;
            let value = &self.values[at];
            if *value == SourceValue::Null {
                return Ok(None);
            }
            let read: fn(&Shape, usize, &SourceValue) -> Option<$type> = $read;
            match read(&self.shape, at, value) {
                Some(read) => Ok(Some(read)),
                None => Err(damaged(column, &format!(concat!("expected ", $what, ", found {}"), value.kind()))),
            }
        }
    )+};
}

impl SourceRow {
    /// The table's name as it was given: the name of the entity or of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shape.table.name
    }

    /// The key that identifies the row in its table: `Z_PK`, or `rowid`.
    #[must_use]
    pub fn key(&self) -> i64 {
        self.key
    }

    /// The row's entity, as `Z_PRIMARYKEY` names it. `None` if the row belongs to no Core Data
    /// entity.
    ///
    /// Several entities may have rows in one table. Use this method, and never compare `Z_ENT` with
    /// a number: the numbers change with each version of the app's model.
    #[must_use]
    pub fn entity(&self) -> Option<&str> {
        self.entity_number()
            .and_then(|number| self.shape.entities.name(number))
    }

    fn entity_number(&self) -> Option<i64> {
        let at = self
            .shape
            .columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case("Z_ENT"));
        match at.map(|at| &self.values[at]) {
            Some(SourceValue::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    fn place(&self, column: &str) -> Result<usize, Reject> {
        let kind = match &self.shape.numbered {
            Some(_) => self.entity_number(),
            None => None,
        };
        Ok(self.shape.must_have(column, kind)?)
    }

    /// The raw value of the column.
    ///
    /// # Errors
    ///
    /// A [`Reject`] that ends the import if the table has no such column, or if several columns
    /// could be meant.
    pub fn value(&self, column: &str) -> Result<&SourceValue, Reject> {
        Ok(&self.values[self.place(column)?])
    }

    /// Whether the table has the column.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.place(column).is_ok()
    }

    /// The value of a binary attribute with external storage (`.externalStorage`, "Allows External
    /// Storage"). It must have a value. Core Data keeps small values in the row behind a marker and
    /// large ones in files in `.<store>_SUPPORT/_EXTERNAL_DATA/` beside the store; this getter
    /// reads both. For attributes without external storage use [`bytes`](Self::bytes).
    ///
    /// The file is read at its original place, in its current state: it is not copied with the
    /// store.
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column is NULL or holds another type, or, with the path, if the file
    /// cannot be read.
    pub fn external_bytes(&self, column: &str) -> Result<Vec<u8>, Reject> {
        self.opt_external_bytes(column)?
            .ok_or_else(|| missing(column))
    }

    /// Like [`external_bytes`](Self::external_bytes), or `None` if the column is NULL.
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column holds another type, or, with the path, if the file cannot be read.
    pub fn opt_external_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, Reject> {
        match self.value(column)? {
            SourceValue::Null => Ok(None),
            SourceValue::Blob(bytes) => external::read(&self.shape.path, column, bytes).map(Some),
            other => Err(damaged(
                column,
                &format!("expected a blob, found {}", other.kind()),
            )),
        }
    }

    getters! {
        "a UUID (16 bytes, or text in either case)": uuid, opt_uuid -> Uuid, |_, _, value| match value {
            SourceValue::Blob(bytes) => Uuid::from_slice(bytes).ok(),
            SourceValue::Text(text) => Uuid::try_parse_ascii(text).ok(),
            _ => None,
        };
        "text (for a DECIMAL column, its number as text)": text, opt_text -> String, |shape, at, value| match value {
            SourceValue::Text(text) => String::from_utf8(text.clone()).ok(),
            _ if shape.decimals[at] => decimal(value),
            _ => None,
        };
        "bytes (a blob, or text as its bytes; `external_bytes` reads a reference to a file)": bytes, opt_bytes -> Vec<u8>, |_, _, value| match value {
            // As a plain value, the reference would become an event's payload and die there later.
            SourceValue::Blob(bytes) if external::is_reference(bytes) => None,
            SourceValue::Blob(bytes) | SourceValue::Text(bytes) => Some(bytes.clone()),
            _ => None,
        };
        "an integer": integer, opt_integer -> i64, |_, _, value| match value {
            SourceValue::Integer(number) => Some(*number),
            SourceValue::Real(number) => whole(*number),
            _ => None,
        };
        "a number": real, opt_real -> f64, |_, _, value| match value {
            SourceValue::Integer(number) => Some(*number as f64),
            SourceValue::Real(number) => Some(*number),
            _ => None,
        };
        "a decimal number (an integer, a real number, or text), as its shortest text": decimal, opt_decimal -> String,
            |_, _, value| decimal(value);
        "a boolean (0 or 1)": boolean, opt_boolean -> bool, |_, _, value| match value {
            SourceValue::Integer(0) => Some(false),
            SourceValue::Integer(1) => Some(true),
            _ => None,
        };
        "a date": date, opt_date -> DateTime<Utc>, |shape, _, value| date(value, shape.table.dates);
    }

    /// The column as a date whose numbers mean this, whatever the table says, or `None` if the
    /// column is NULL.
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column holds another type.
    pub fn opt_date_as(
        &self,
        column: &str,
        dates: SourceDates,
    ) -> Result<Option<DateTime<Utc>>, Reject> {
        let value = self.value(column)?;
        if *value == SourceValue::Null {
            return Ok(None);
        }
        let read = date(value, dates);
        let refused = || damaged(column, &format!("expected a date, found {}", value.kind()));
        read.map(Some).ok_or_else(refused)
    }

    /// The whole row as JSON, as in the table of rejected rows. No content is lost: blobs are
    /// `{"hex": ".."}`, text that is not UTF-8 is `{"text_hex": ".."}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns = self.shape.columns.iter().zip(&self.values);
        Value::Object(
            columns
                .map(|(column, value)| (column.clone(), value.to_json()))
                .collect(),
        )
    }

    /// The hash of the row's key and content.
    pub(super) fn hash(&self) -> Hash {
        let mut hasher = Hasher::new();
        hasher.part(b"key", &self.key.to_be_bytes());
        for at in &self.shape.by_name {
            hasher.part(b"column", self.shape.columns[*at].as_bytes());
            self.values[*at].hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The hash of what stays the same when the row changes: the creation time that orders it, and
    /// its id. `None` if it has neither.
    pub(super) fn anchor(&self) -> Option<Hash> {
        let mut hasher = Hasher::new();
        let mut has_any = false;
        let ids = ["id", "uuid", "identifier"];
        for column in self.shape.table.order.as_deref().into_iter().chain(ids) {
            match self.value(column) {
                Ok(SourceValue::Null) | Err(_) => {}
                Ok(value) => {
                    hasher.part(b"column", column.as_bytes());
                    value.hash(&mut hasher);
                    has_any = true;
                }
            }
        }
        has_any.then(|| hasher.finish())
    }
}

/// The integer that a real number equals, if both types represent it exactly.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

/// A decimal number as its shortest exact text. SQLite stores a DECIMAL as an integer or a real
/// number.
fn decimal(value: &SourceValue) -> Option<String> {
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

//! A part of an event: a constant, or a column of the row. And the conditions on columns.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::DeValue;

use super::error::MappingError;
use super::keys::{Keys, Text, table_of, text_of};
use crate::reject::{Reject, RejectReason};
use crate::row::{SourceRow, damaged, missing};
use crate::table::SourceDates;
use crate::value::SourceValue;

/// How the value of a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Real,
    Boolean,
    Uuid,
    Json,
    CoreDataDate,
    UnixDate,
    UnixMillisDate,
    IsoDate,
}

impl Kind {
    const WORDS: [(&'static str, Self); 10] = [
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("real", Self::Real),
        ("bool", Self::Boolean),
        ("uuid", Self::Uuid),
        ("json", Self::Json),
        ("core-data-date", Self::CoreDataDate),
        ("unix-date", Self::UnixDate),
        ("unix-millis-date", Self::UnixMillisDate),
        ("iso-date", Self::IsoDate),
    ];

    fn is_date(self) -> bool {
        matches!(
            self,
            Self::CoreDataDate | Self::UnixDate | Self::UnixMillisDate | Self::IsoDate
        )
    }
}

/// A part of an event.
#[derive(Debug, Clone)]
pub(super) enum Field {
    Constant(Value),
    Column(Column),
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    name: String,
    kind: Kind,
    /// Whether it may be NULL.
    is_optional: bool,
    /// The words that stand for its values.
    words: Option<BTreeMap<String, String>>,
}

impl Field {
    /// Reads a constant, or a table that names a column.
    pub(super) fn read(
        text: Text<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        default: Kind,
    ) -> Result<Self, MappingError> {
        if let Some(constant) = constant(value.get_ref()) {
            return Ok(Self::Constant(constant));
        }
        let keys = Keys::of_value(text, key, value, &["column", "as", "optional", "map"])?;
        keys.must("column")?;
        let name = keys.string("column")?.unwrap_or_default();
        let kind = match (keys.string("as")?, keys.get("as")) {
            (Some(word), Some(at)) => {
                let found = Kind::WORDS.iter().find(|(known, _)| *known == word);
                let unknown = || {
                    let known: Vec<&str> = Kind::WORDS.iter().map(|(word, _)| *word).collect();
                    let reason = format!("unknown type `{word}`; known are {}", known.join(", "));
                    text.invalid(&at.span(), "as", reason)
                };
                found.map(|(_, kind)| *kind).ok_or_else(unknown)?
            }
            _ => default,
        };
        let words = match keys.get("map") {
            None => None,
            Some(value) => {
                let mut words = BTreeMap::new();
                for (from, to) in table_of(text, "map", value)? {
                    let DeValue::String(word) = to.get_ref() else {
                        return Err(text.invalid(&to.span(), text_of(from), "expected a string"));
                    };
                    words.insert(text_of(from).to_owned(), word.as_ref().to_owned());
                }
                Some(words)
            }
        };
        Ok(Self::Column(Column {
            name,
            kind,
            is_optional: keys.flag("optional")?.unwrap_or_default(),
            words,
        }))
    }

    /// The name of the column; empty for a constant.
    pub(super) fn column(&self) -> &str {
        match self {
            Self::Constant(_) => "",
            Self::Column(column) => &column.name,
        }
    }

    pub(super) fn is_column(&self) -> bool {
        matches!(self, Self::Column(_))
    }

    pub(super) fn is_date(&self) -> bool {
        matches!(self, Self::Column(column) if column.kind.is_date())
    }

    /// The texts that are known before any row is read: the constant, or the words for values.
    pub(super) fn known_texts(&self) -> Vec<String> {
        match self {
            Self::Constant(value) => text_of_value(value).into_iter().collect(),
            Self::Column(column) => {
                let words = column.words.iter().flat_map(BTreeMap::values);
                words.cloned().collect()
            }
        }
    }

    /// The value for a payload.
    pub(super) fn value(&self, row: &SourceRow) -> Result<Value, Reject> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Column(column) => match column.value(row)? {
                None if column.is_optional => Ok(Value::Null),
                None => Err(missing(&column.name)),
                Some(value) => column.in_words(value),
            },
        }
    }

    pub(super) fn opt_text(&self, row: &SourceRow) -> Result<Option<String>, Reject> {
        Ok(text_of_value(&self.value(row)?))
    }

    pub(super) fn text(&self, row: &SourceRow) -> Result<String, Reject> {
        self.opt_text(row)?.ok_or_else(|| missing(self.column()))
    }

    /// The text as another type.
    pub(super) fn parsed<T>(&self, row: &SourceRow) -> Result<T, Reject>
    where
        T: FromStr,
        T::Err: Display,
    {
        let refused = |error: T::Err| damaged(self.column(), &error.to_string());
        self.text(row)?.parse().map_err(refused)
    }

    pub(super) fn date(&self, row: &SourceRow) -> Result<Option<DateTime<Utc>>, Reject> {
        match self {
            Self::Column(column) => column.date(row),
            Self::Constant(_) => Ok(None),
        }
    }
}

impl Column {
    fn value(&self, row: &SourceRow) -> Result<Option<Value>, Reject> {
        let name = &self.name;
        Ok(match self.kind {
            Kind::Text => row.opt_text(name)?.map(Value::from),
            Kind::Integer => row.opt_integer(name)?.map(Value::from),
            Kind::Real => match row.opt_real(name)? {
                None => None,
                Some(number) => {
                    let infinite = || damaged(name, "JSON has no such number");
                    let number = Number::from_f64(number).ok_or_else(infinite)?;
                    Some(Value::Number(number))
                }
            },
            Kind::Boolean => row.opt_boolean(name)?.map(Value::from),
            Kind::Uuid => row.opt_uuid(name)?.map(|id| Value::from(id.to_string())),
            Kind::Json => match row.opt_bytes(name)? {
                None => None,
                Some(bytes) => {
                    let refused = |error| damaged(name, &format!("not JSON: {error}"));
                    Some(serde_json::from_slice(&bytes).map_err(refused)?)
                }
            },
            Kind::CoreDataDate | Kind::UnixDate | Kind::UnixMillisDate | Kind::IsoDate => {
                let date = self.date(row)?;
                date.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
            }
        })
    }

    fn date(&self, row: &SourceRow) -> Result<Option<DateTime<Utc>>, Reject> {
        let dates = match self.kind {
            Kind::CoreDataDate => SourceDates::SinceReferenceDate,
            Kind::UnixMillisDate => SourceDates::UnixMillis,
            Kind::IsoDate => {
                let Some(text) = row.opt_text(&self.name)? else {
                    return Ok(None);
                };
                let refused = || damaged(&self.name, "expected a date like 2025-01-14T12:30:00Z");
                return iso_date(&text).map(Some).ok_or_else(refused);
            }
            _ => SourceDates::UnixSeconds,
        };
        row.opt_date_as(&self.name, dates)
    }

    /// The word for the value, if the column has words.
    fn in_words(&self, value: Value) -> Result<Value, Reject> {
        let Some(words) = &self.words else {
            return Ok(value);
        };
        let text = text_of_value(&value).unwrap_or_default();
        let unmapped = || {
            let known: Vec<&str> = words.keys().map(String::as_str).collect();
            let column = self.name.clone();
            let detail = format!("the mapping has: {}", known.join(", "));
            Reject::new(RejectReason::Unmapped { column }, detail)
        };
        words
            .get(&text)
            .cloned()
            .map(Value::from)
            .ok_or_else(unmapped)
    }
}

/// A date with an offset, or one in UTC as SQLite's functions write it.
fn iso_date(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let parsed = |form: &&str| NaiveDateTime::parse_from_str(text, form).ok();
    forms.iter().find_map(parsed).map(|date| date.and_utc())
}

fn text_of_value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A text, a number, or true or false.
fn constant(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Boolean(flag) => Some((*flag).into()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Value::from),
        DeValue::Float(number) => {
            let number: f64 = number.as_str().parse().ok()?;
            Number::from_f64(number).map(Value::Number)
        }
        _ => None,
    }
}

/// A condition on a column.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) column: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(Value),
    IsNull(bool),
}

impl Condition {
    /// Reads `status = "pending"`, or `deletedAt = { null = true }`.
    pub(super) fn read(
        text: Text<'_>,
        column: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Self, MappingError> {
        let test = match constant(value.get_ref()) {
            Some(constant) => Test::Is(constant),
            None => {
                let keys = Keys::of_value(text, column, value, &["null"])?;
                keys.must("null")?;
                Test::IsNull(keys.flag("null")?.unwrap_or_default())
            }
        };
        let column = column.to_owned();
        Ok(Self { column, test })
    }

    pub(super) fn is_met(&self, row: &SourceRow) -> Result<bool, Reject> {
        let value = row.value(&self.column)?;
        Ok(match &self.test {
            Test::IsNull(is_null) => (*value == SourceValue::Null) == *is_null,
            Test::Is(wanted) => match (wanted, value) {
                (Value::String(wanted), SourceValue::Text(text)) => wanted.as_bytes() == text,
                (Value::Bool(wanted), SourceValue::Integer(number)) => {
                    *number == i64::from(*wanted)
                }
                (Value::Number(wanted), SourceValue::Integer(number)) => {
                    wanted.as_i64() == Some(*number) || wanted.as_f64() == Some(*number as f64)
                }
                (Value::Number(wanted), SourceValue::Real(number)) => {
                    wanted.as_f64() == Some(*number)
                }
                _ => false,
            },
        })
    }
}

//! Validation: one function per rule, each with its error message.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, SecondsFormat, Timelike, Utc};
use uuid::Uuid;

use crate::answer::Refusal;

pub(crate) type Checked<T = ()> = Result<T, Refusal>;

/// The length of a text in characters.
pub(crate) fn length(field: &str, text: &str, allowed: RangeInclusive<usize>) -> Checked {
    if allowed.contains(&text.chars().count()) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    Err(Refusal::invalid(format_args!(
        "{field} must have {least} to {most} characters"
    )))
}

/// The same for an optional text.
pub(crate) fn optional_length(field: &str, text: Option<&str>, most: usize) -> Checked {
    text.map_or(Ok(()), |text| length(field, text, 0..=most))
}

/// The length of a list.
pub(crate) fn count<T>(field: &str, list: &[T], allowed: RangeInclusive<usize>) -> Checked {
    if allowed.contains(&list.len()) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    Err(Refusal::invalid(format_args!(
        "{field} must have {least} to {most} elements"
    )))
}

/// A number within bounds; NaN never is.
pub(crate) fn range(field: &str, number: f64, allowed: RangeInclusive<f64>) -> Checked {
    if allowed.contains(&number) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    Err(Refusal::invalid(format_args!(
        "{field} must be from {least} to {most}"
    )))
}

/// A number of at least zero.
pub(crate) fn not_negative(field: &str, number: Option<f64>) -> Checked {
    match number {
        Some(number) if number.is_nan() || number < 0.0 => Err(Refusal::invalid(format_args!(
            "{field} must not be negative"
        ))),
        _ => Ok(()),
    }
}

/// One of a closed set.
pub(crate) fn one_of(field: &str, text: &str, allowed: &[&str]) -> Checked {
    if allowed.contains(&text) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(Refusal::invalid(format_args!(
        "{field} must be one of: {allowed}"
    )))
}

/// An id in the service's form: lower case, with hyphens.
pub(crate) fn remote_id(field: &str, text: Option<&str>) -> Checked {
    match text {
        Some(text) if !is_remote_id(text) => Err(Refusal::invalid(format_args!(
            "{field} must be a UUID in lower case"
        ))),
        _ => Ok(()),
    }
}

/// A time, RFC 3339, with or without a fraction.
pub(crate) fn time(field: &str, text: &str) -> Checked<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| {
            Refusal::invalid(format_args!(
                "{field} must be a time as 2025-11-17T19:26:02Z"
            ))
        })
}

/// The same if present, otherwise the current time.
pub(crate) fn time_or_now(
    field: &str,
    text: Option<&str>,
    now: DateTime<Utc>,
) -> Checked<DateTime<Utc>> {
    text.map_or(Ok(now), |text| time(field, text))
}

/// A time without a fraction of a second, not even `.000`.
pub(crate) fn whole_time(field: &str, text: &str) -> Checked<DateTime<Utc>> {
    let time = time(field, text)?;
    if text.contains('.') || time.nanosecond() != 0 {
        return Err(Refusal::invalid(format_args!(
            "{field} must have no fraction of a second"
        )));
    }
    Ok(time)
}

/// A day.
pub(crate) fn day(field: &str, text: &str) -> Checked<NaiveDate> {
    // chrono alone would accept `2025-1-2`.
    (text.len() == 10)
        .then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
        .flatten()
        .ok_or_else(|| Refusal::invalid(format_args!("{field} must be a day as 2025-11-17")))
}

/// Two times in order.
pub(crate) fn in_order<T: PartialOrd + Copy>(first: (&str, T), second: (&str, T)) -> Checked {
    if first.1 <= second.1 {
        return Ok(());
    }
    Err(Refusal::invalid(format_args!(
        "{} must not be before {}",
        second.0, first.0
    )))
}

/// The time format of most endpoints.
pub(crate) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The time format of goals.
pub(crate) fn nanoseconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn is_remote_id(text: &str) -> bool {
    Uuid::parse_str(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

/// Unknown fields of a request, stored as received.
pub(crate) type Extra = BTreeMap<String, serde_json::Value>;

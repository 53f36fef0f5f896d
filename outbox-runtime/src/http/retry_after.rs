//! Parsing of `Retry-After` and similar headers.

use std::time::Duration;

use ::http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc, Weekday};

/// The longest delay that a service can ask for; a longer one is reduced to it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::http::LONGEST_WAIT;
///
/// assert_eq!(LONGEST_WAIT, Duration::from_secs(24 * 60 * 60));
/// ```
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The delay that the service asks for in `Retry-After`, if any.
///
/// - The value is a number of seconds or a date. A fraction is rounded up to whole seconds.
/// - A date is compared with the response's own `Date`, so that the delay is correct on a machine
///   whose clock is wrong, or with `now` if there is none. A date in the past means no delay.
/// - Of several values, in a list or in several headers, the longest delay applies.
/// - A value that is neither a number nor a date is ignored.
/// - The delay is at most [`LONGEST_WAIT`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, header::RETRY_AFTER};
/// use outbox_runtime::http::retry_after;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-10-21T07:27:30Z".parse()?;
/// let headers = HeaderMap::from_iter([(RETRY_AFTER, "1.5".parse()?)]);
/// assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(2)));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let sent = texts(headers, &DATE).find_map(|date| http_date(date, now));
    let waits = texts(headers, &RETRY_AFTER).flat_map(members);
    waits
        .filter_map(|value| match rounded_up(&value) {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => {
                let until = http_date(&value, now)?;
                Some((until - sent.unwrap_or(now)).to_std().unwrap_or_default())
            }
        })
        .max()
        .map(|wait| wait.min(LONGEST_WAIT))
}

/// The delay in milliseconds that some services send in addition to `Retry-After`.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<Duration> {
    const NAMES: [HeaderName; 2] = [
        HeaderName::from_static("retry-after-ms"),
        HeaderName::from_static("x-ms-retry-after-ms"),
    ];
    NAMES
        .iter()
        .flat_map(|name| texts(headers, name))
        .filter_map(rounded_up)
        .max()
        .map(|millis| Duration::from_millis(millis).min(LONGEST_WAIT))
}

/// The time until an exhausted quota resets: `RateLimit: "default";r=0;t=30`.
///
/// The form of the drafts since 2024 (`draft-ietf-httpapi-ratelimit-headers`).
pub(super) fn rate_limit(headers: &HeaderMap) -> Option<Duration> {
    const NAME: HeaderName = HeaderName::from_static("ratelimit");
    let used_up = |quota: &str| {
        let parameters = || unquoted(quota, ';').skip(1);
        let number = |wanted: &str| {
            parameters().find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                let is_wanted = name.trim() == wanted;
                is_wanted.then(|| digits(value.trim())).flatten()
            })
        };
        (number("r")? == 0).then(|| number("t")).flatten()
    };
    texts(headers, &NAME)
        .flat_map(|value| unquoted(value, ','))
        .filter_map(used_up)
        .max()
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The values of a header that are non-empty text, trimmed.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// Splits a list. A comma after a weekday is part of a date.
fn members(list: &str) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    let mut weekday = None;
    for part in list.split(',').map(str::trim) {
        match weekday.take() {
            Some(weekday) => members.push(format!("{weekday}, {part}")),
            None if part.parse::<Weekday>().is_ok() => weekday = Some(part),
            None => members.push(part.to_owned()),
        }
    }
    members
}

/// Splits a text at `separator`s outside quotes.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
}

/// Parses a decimal number, rounding up. A number with too many digits saturates; it exceeds the
/// longest delay anyway.
fn rounded_up(text: &str) -> Option<u64> {
    let Some((whole, fraction)) = text.split_once('.') else {
        return digits(text);
    };
    digits(fraction)?;
    let is_more = fraction.bytes().any(|digit| digit != b'0');
    Some(digits(whole)?.saturating_add(u64::from(is_more)))
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Parses a date in any of the three forms that a recipient must accept (RFC 9110, section 5.6.7).
fn http_date(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const CURRENT: &str = "%d %b %Y %H:%M:%S GMT";
    const RFC_850: &str = "%d-%b-%y %H:%M:%S GMT";
    const ASCTIME: &str = "%b %d %H:%M:%S %Y";
    // Each form begins with a weekday, which is redundant.
    let (weekday, date) = text.split_once(' ')?;
    weekday.trim_end_matches(',').parse::<Weekday>().ok()?;
    let parse = |form| NaiveDateTime::parse_from_str(date.trim_start(), form).ok();
    parse(CURRENT)
        .or_else(|| parse(ASCTIME))
        .or_else(|| in_this_century(parse(RFC_850)?, now))
        .map(|date| date.and_utc())
}

/// A two-digit year is the latest matching year that is at most 50 years ahead.
fn in_this_century(date: NaiveDateTime, now: DateTime<Utc>) -> Option<NaiveDateTime> {
    let year = now.year() - now.year().rem_euclid(100) + date.year().rem_euclid(100);
    let too_far = now
        .naive_utc()
        .checked_add_signed(TimeDelta::days(50 * 365 + 13));
    let ahead = date.with_year(year);
    match ahead {
        Some(date) if too_far.is_none_or(|too_far| date <= too_far) => ahead,
        _ => date.with_year(year - 100),
    }
}

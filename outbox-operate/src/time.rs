//! Durations, times and ages, as people write and read them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use outbox_runtime::store::kit::{after, before};

/// Parses `90s`, `2h 30m`, `7d`.
///
/// # Errors
///
/// The reason, for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// A time as people write it: relative to now, or absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Now.
    Now,
    /// This long after now.
    In(Duration),
    /// This long before now.
    Ago(Duration),
    /// A time.
    At(DateTime<Utc>),
}

impl Moment {
    /// Parses `now`, `+15m`, `-1h`, or a time in RFC 3339.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(text) = text.strip_prefix('+') {
            return duration(text).map(Self::In);
        }
        if let Some(text) = text.strip_prefix('-') {
            return duration(text).map(Self::Ago);
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|error| {
            format!("{error}; write `now`, `+15m`, `-1h`, or a time like 2026-01-31T12:00:00Z")
        })?;
        Ok(Self::At(time.to_utc()))
    }

    /// The time, if it is now that time.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Now => now,
            Self::In(duration) => after(now, duration),
            Self::Ago(duration) => before(now, duration),
            Self::At(time) => time,
        }
    }
}

/// A time to the second.
#[must_use]
pub fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How long before now, in its two largest units: `3d 4h`.
#[must_use]
pub fn age(now: DateTime<Utc>, time: DateTime<Utc>) -> String {
    let seconds = (now - time).num_seconds();
    if seconds < 0 {
        return format!("in {}", span(seconds.unsigned_abs()));
    }
    span(seconds.unsigned_abs())
}

fn span(seconds: u64) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit);
    let Some(first) = first else {
        return "0s".to_owned();
    };
    let mut left = seconds;
    let mut words = Vec::new();
    for (unit, name) in UNITS.iter().skip(first).take(2) {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            words.push(format!("{count}{name}"));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_725, "1h 2m"),
            (86_400 * 3 + 4, "3d"),
            (86_400 * 40 + 7_200, "40d 2h"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn a_moment_is_relative_or_absolute() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let at = |text| Moment::parse(text).unwrap().at(now);
        assert_eq!(at("now"), now);
        assert_eq!(at("+1m").timestamp(), 1_700_000_060);
        assert_eq!(at("-1m").timestamp(), 1_699_999_940);
        assert_eq!(at("2023-11-14T23:13:20+01:00").timestamp(), 1_700_000_000);
        assert!(Moment::parse("tomorrow").unwrap_err().contains("+15m"));
    }
}

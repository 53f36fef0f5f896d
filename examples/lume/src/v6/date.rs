//! Times as V6 wrote them: a number by its first encoder, text by the later ones.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

/// A time in a V6 payload.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum V6Date {
    /// Seconds since 2001-01-01T00:00:00Z, the default of Swift's encoder.
    Seconds(f64),
    /// RFC 3339.
    Text(DateTime<Utc>),
}

impl V6Date {
    /// The time.
    #[must_use]
    pub fn time(&self) -> DateTime<Utc> {
        match self {
            Self::Seconds(seconds) => from_reference_seconds(*seconds).unwrap_or_default(),
            Self::Text(time) => *time,
        }
    }
}

/// 2001-01-01T00:00:00Z in Unix time.
const REFERENCE: i64 = 978_307_200;

/// The time that many seconds after 2001-01-01T00:00:00Z, to the microsecond; `None` if the
/// calendar ends before.
#[must_use]
pub fn from_reference_seconds(seconds: f64) -> Option<DateTime<Utc>> {
    let micros = seconds * 1e6;
    // The float has fewer digits than the integer, so the comparison is exact.
    if !micros.is_finite() || micros.abs() >= i64::MAX as f64 {
        return None;
    }
    DateTime::from_timestamp(REFERENCE, 0)?
        .checked_add_signed(TimeDelta::microseconds(micros.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_number_or_text() {
        let read = |json| {
            serde_json::from_str::<V6Date>(json)
                .unwrap()
                .time()
                .to_rfc3339()
        };
        assert_eq!(read("758550600"), "2025-01-14T12:30:00+00:00");
        assert_eq!(read("-541232580.5"), "1983-11-07T17:36:59.500+00:00");
        assert_eq!(
            read("\"2025-01-14T12:30:00Z\""),
            "2025-01-14T12:30:00+00:00"
        );
    }

    #[test]
    fn a_date_beyond_the_calendar_is_none() {
        for seconds in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(from_reference_seconds(seconds), None);
        }
    }
}

//! The parser of durations such as `"30s"`: text in, a duration out, so that the fuzz targets can
//! include the file.

use std::time::Duration;

/// `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"7d"`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let seconds_of = |unit| number.checked_mul(unit).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds_of(1),
        "m" => seconds_of(60),
        "h" => seconds_of(60 * 60),
        "d" => seconds_of(24 * 60 * 60),
        _ => None,
    }
}

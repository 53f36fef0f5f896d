//! Durations in attributes such as `timeout = ".."`. Includes the parser's source file, because a
//! proc-macro crate exports nothing else.

use std::time::Duration;

#[path = "../../../outbox-macros/src/attr/duration.rs"]
mod parser;

/// A text either is refused, or is the duration of its number and unit.
pub fn duration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let expected = expected(&text);
    assert_eq!(parser::parse(&text), expected, "{text:?}");
}

/// An independent implementation: in milliseconds, with room for any of them.
fn expected(text: &str) -> Option<Duration> {
    let units: [(&str, u128); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let (number, millis) = units
        .iter()
        .find_map(|(unit, millis)| Some((text.strip_suffix(unit)?, millis)))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    let millis = u128::from(number) * millis;
    let seconds = u64::try_from(millis / 1_000).ok()?;
    let nanos = u32::try_from(millis % 1_000).ok()? * 1_000_000;
    Some(Duration::new(seconds, nanos))
}

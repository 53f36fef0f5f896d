//! Comparison of JSON by meaning: the order of an object's keys, white space, escapes and the
//! notation of numbers are ignored.
//!
//! Two texts with the same meaning have the same canonical form. Differences that a reader could
//! observe are kept: integers of any size, decimals that round to the same float, the order of a
//! list, and duplicate keys of an object.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::raw::RawMetadata;

/// JSON nested deeper than this is compared byte for byte.
const DEPTH: usize = 128;

/// Whether both texts have the same meaning. Invalid JSON is compared byte for byte.
pub(crate) fn means_the_same(one: &RawMetadata, other: &RawMetadata) -> bool {
    one == other || meaning(one).is_some_and(|one| meaning(other) == Some(one))
}

/// The canonical form; `None` if the text is not JSON or is nested too deeply.
pub(crate) fn meaning(raw: &RawMetadata) -> Option<Vec<u8>> {
    let json: &RawValue = serde_json::from_slice(raw.as_bytes()).ok()?;
    let mut canonical = Vec::with_capacity(raw.len());
    write(json.get(), DEPTH, &mut canonical)?;
    Some(canonical)
}

fn write(json: &str, depth: usize, canonical: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match json.as_bytes().first()? {
        b'{' => {
            let Entries(mut entries) = serde_json::from_str(json).ok()?;
            // The sort is stable, because a reader may use the first or the last of two equal keys.
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            canonical.push(b'{');
            for (key, value) in entries {
                write_text(&key, canonical)?;
                canonical.push(b':');
                write(value.get(), depth, canonical)?;
                canonical.push(b',');
            }
            canonical.push(b'}');
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            canonical.push(b'[');
            for value in values {
                write(value.get(), depth, canonical)?;
                canonical.push(b',');
            }
            canonical.push(b']');
        }
        b'"' => write_text(&serde_json::from_str::<String>(json).ok()?, canonical)?,
        b'-' | b'0'..=b'9' => write_number(json, canonical)?,
        _ => canonical.extend(json.as_bytes()),
    }
    Some(())
}

fn write_text(text: &str, canonical: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(canonical, text).ok()
}

/// Writes the digits without leading and trailing zeros, and the power of ten.
fn write_number(number: &str, canonical: &mut Vec<u8>) -> Option<()> {
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (decimal, exponent) = match number.split_once(['e', 'E']) {
        Some((decimal, exponent)) => (decimal, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    let places = i64::try_from(fraction.len()).ok()?;
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        canonical.push(b'0');
        return Some(());
    }
    let power = exponent.checked_sub(places)?.checked_add(zeros)?;
    canonical.extend(format!("{sign}{significant}e{power}").into_bytes());
    Some(())
}

/// The entries of an object in their order, including duplicate keys.
struct Entries<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let raw = |json: &str| RawMetadata::from_bytes(json);
        means_the_same(&raw(one), &raw(other))
    }

    #[test]
    fn notation_does_not_change_the_meaning() {
        for (one, other) in [
            (
                r#"{"a":1,"b":[true,null]}"#,
                "{ \"b\" : [true, null],\n\"a\": 1 }",
            ),
            (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#),
            (r#""\u0041\/""#, r#""A/""#),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#),
            ("100", "1E+2"),
            ("1.50", "15e-1"),
            ("0.0", "-0e7"),
            (
                "340282366920938463463374607431768211455",
                "340282366920938463463374607431768211455.0",
            ),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn observable_differences_change_the_meaning() {
        for (one, other) in [
            ("1", "\"1\""),
            ("[1,2]", "[2,1]"),
            ("0.1", "0.10000000000000001"),
            ("18446744073709551616", "18446744073709551617"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":null}"#, "{}"),
            ("[[1],2]", "[1,[2]]"),
            ("not json", "not  json"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn deeply_nested_json_is_compared_byte_for_byte() {
        let nested = |inside: &str| [&"[".repeat(100_000), inside, &"]".repeat(100_000)].concat();
        assert!(same(&nested("1"), &nested("1")));
        assert!(!same(&nested("1"), &nested("1.0")));
    }
}

//! Numbers, which texts spell in more ways than can be listed: what a text has is read as a number, and compared.

use std::collections::HashSet;
use std::ops::Range;

/// Numbers to hide, without their signs.
#[derive(Default)]
pub(super) struct Numbers(HashSet<u64>);

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a number, if the text is one.
    pub(super) fn hide(&mut self, text: &str) {
        let begins_like_one = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let digits = text.trim_start_matches(['-', '+']);
        if !begins_like_one(digits) {
            return;
        }
        if let Ok(number) = digits.parse::<f64>() {
            self.0.insert(number.to_bits());
            // What an `f32` looks like where it is printed as an `f64`.
            #[allow(clippy::cast_possible_truncation, reason = "that is the point")]
            self.0.insert(f64::from(number as f32).to_bits());
        }
    }

    fn has(&self, spelling: &str) -> bool {
        let number = spelling.parse::<f64>();
        number.is_ok_and(|number| self.0.contains(&number.to_bits()))
    }

    /// Where a text spells one of the numbers.
    pub(super) fn find(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        if self.is_empty() {
            return;
        }
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let digits = digits_from(bytes, at);
            let grouped = groups_from(bytes, at, digits);
            let end = [grouped, digits]
                .into_iter()
                .find_map(|whole| self.end_of(text, at, whole));
            if let Some(end) = end {
                let sign = at.checked_sub(1);
                let sign = sign.filter(|sign| matches!(bytes[*sign], b'-' | b'+'));
                found(sign.unwrap_or(at)..end);
            }
            at = end.unwrap_or(digits);
        }
    }

    /// Where a number ends whose digits before the fraction are those up to `whole`.
    fn end_of(&self, text: &str, start: usize, whole: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let fraction = fraction_from(bytes, whole);
        let end = exponent_from(bytes, fraction);
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        let digits = part(start..whole).replace(&GROUPS[..], "");
        let decimals = part(whole..fraction).replacen(',', ".", 1);
        let power = part(fraction..end);
        [
            (format!("{digits}{decimals}{power}"), end),
            (format!("{digits}{decimals}"), fraction),
            (digits, whole),
        ]
        .into_iter()
        .find_map(|(spelling, end)| self.has(&spelling).then_some(end))
    }
}

/// What stands between groups of three digits, as it is written.
const GROUPS: [char; 6] = [',', '.', '\'', '_', '\u{a0}', '\u{202f}'];

/// Where the digits end that begin at a place.
fn digits_from(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Where the groups end that begin with the digits from `start` to `at`.
fn groups_from(bytes: &[u8], start: usize, mut at: usize) -> usize {
    if at - start > 3 {
        return at;
    }
    while let Some(mark) = group_mark(bytes, at) {
        let end = digits_from(bytes, at + mark);
        if end != at + mark + 3 {
            break;
        }
        at = end;
    }
    at
}

fn fraction_from(bytes: &[u8], at: usize) -> usize {
    let end = digits_from(bytes, at + 1);
    let is_one = matches!(bytes.get(at), Some(b'.' | b',')) && end > at + 1;
    if is_one { end } else { at }
}

fn exponent_from(bytes: &[u8], at: usize) -> usize {
    let sign = usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
    let end = digits_from(bytes, at + 1 + sign);
    let is_one = matches!(bytes.get(at), Some(b'e' | b'E')) && end > at + 1 + sign;
    if is_one { end } else { at }
}

/// How long the mark between two groups is, if there is one.
fn group_mark(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    GROUPS.iter().find_map(|mark| {
        let mut buffer = [0; 4];
        let mark = mark.encode_utf8(&mut buffer).as_bytes();
        rest.starts_with(mark).then_some(mark.len())
    })
}

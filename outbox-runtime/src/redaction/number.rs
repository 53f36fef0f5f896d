//! Numbers, which have too many notations to list: every number in a text is parsed and compared.

use std::collections::HashSet;
use std::ops::Range;

/// The numbers to hide, without signs.
#[derive(Default)]
pub(super) struct Numbers(HashSet<u64>);

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the text if it is a number.
    pub(super) fn hide(&mut self, text: &str) {
        let begins_like_one = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let digits = text.trim_start_matches(['-', '+']);
        if !begins_like_one(digits) {
            return;
        }
        if let Ok(number) = digits.parse::<f64>() {
            self.0.insert(number.to_bits());
            self.0.extend(single(number));
        }
    }

    fn has(&self, spelling: &str) -> bool {
        let is_hidden = |number: f64| {
            let is_single = || {
                spelling.contains(['.', 'e', 'E'])
                    && single(number).is_some_and(|bits| self.0.contains(&bits))
            };
            self.0.contains(&number.to_bits()) || is_single()
        };
        spelling.parse().is_ok_and(is_hidden)
    }

    /// Finds every occurrence of one of the numbers.
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
            let wholes = groups_from(bytes, at, digits);
            let end = wholes
                .into_iter()
                .rev()
                .find_map(|whole| self.end_of(text, at, whole));
            let alone = end.map(|end| (at, end));
            if let Some((start, end)) = alone.or_else(|| self.fraction_alone(text, at)) {
                let sign = start.checked_sub(1);
                let sign = sign.filter(|sign| matches!(bytes[*sign], b'-' | b'+'));
                found(sign.unwrap_or(start)..end);
                at = end;
            } else {
                at = digits;
            }
        }
    }

    /// The range of a number that begins with its decimal point, such as `.5`.
    fn fraction_alone(&self, text: &str, digits: usize) -> Option<(usize, usize)> {
        let bytes = text.as_bytes();
        let point = digits.checked_sub(1)?;
        let is_whole = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        if !matches!(bytes.get(point), Some(b'.' | b','))
            || point.checked_sub(1).is_some_and(is_whole)
        {
            return None;
        }
        let fraction = digits_from(bytes, digits);
        let ends = [exponent_from(bytes, fraction), fraction];
        ends.into_iter().find_map(|end| {
            let spelling = format!("0.{}", text.get(digits..end)?);
            self.has(&spelling).then_some((point, end))
        })
    }

    /// The end of a number whose integer part ends at `whole`.
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

/// The number rounded to `f32` and converted back to `f64`: `0.1` becomes `0.10000000149011612`,
/// and `0.100000001` matches `0.1`.
fn single(number: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, reason = "that is the point")]
    let single = number as f32;
    (single.is_normal()).then(|| f64::from(single).to_bits())
}

/// The separators between groups of digits.
const GROUPS: [char; 9] = [
    ',', '.', '\'', '_', ' ', '\u{a0}', '\u{2009}', '\u{2019}', '\u{202f}',
];
/// The number of digits in a group: three, two in India, four in China. The last group has at least
/// three.
const GROUP_DIGITS: std::ops::RangeInclusive<usize> = 2..=4;
/// The maximum number of groups.
const MAX_GROUPS: usize = 16;

/// The end of the digits that begin at `at`.
fn digits_from(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The possible ends of an integer part that begins with the digits from `start` to `at`: without
/// the groups that follow, with one of them, ..
fn groups_from(bytes: &[u8], start: usize, mut at: usize) -> Vec<usize> {
    let mut ends = vec![at];
    if at - start > *GROUP_DIGITS.end() {
        return ends;
    }
    for _ in 0..MAX_GROUPS {
        let Some(mark) = group_mark(bytes, at) else {
            break;
        };
        let end = digits_from(bytes, at + mark);
        if !GROUP_DIGITS.contains(&(end - at - mark)) {
            break;
        }
        if end - at - mark > *GROUP_DIGITS.start() {
            ends.push(end);
        }
        at = end;
    }
    ends
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

/// The length of the separator at `at`, if there is one.
fn group_mark(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    GROUPS.iter().find_map(|mark| {
        let mut buffer = [0; 4];
        let mark = mark.encode_utf8(&mut buffer).as_bytes();
        rest.starts_with(mark).then_some(mark.len())
    })
}

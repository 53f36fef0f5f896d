//! Search for many values in one text, all at once and in bounded time.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::number::Numbers;
use super::view::View;
use super::word;

/// The replacement of a sensitive value.
pub(crate) const REDACTED: &str = "[redacted]";

/// The maximum length of the searched text, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 16 * 1024;
/// A longer value is searched for by its first bytes only.
const PREFIX_BYTES: usize = 64;
/// JSON within JSON within JSON.
const MAX_LAYERS: usize = 3;

/// The text without the values; `None` if there are too many values to search for.
pub(super) fn redacted(text: &str, values: &BTreeSet<String>, numbers: &Numbers) -> Option<String> {
    let shown = text.floor_char_boundary(MAX_TEXT_BYTES);
    // A value that begins before the end and continues after it is found as well.
    let margin = PREFIX_BYTES * 6 * MAX_LAYERS;
    let searched = text.get(..text.floor_char_boundary(shown + margin))?;
    let mut views = vec![View::of(searched)];
    while views.len() <= MAX_LAYERS
        && let Some(unescaped) = views.last().and_then(View::unescaped)
    {
        views.push(unescaped);
    }
    let mut found: Vec<Range<usize>> = Vec::new();
    numbers.find(searched, |at| found.push(at));
    let patterns = Patterns::of(values, &views)?;
    for view in &views {
        patterns.find(&view.text, |at| found.push(view.original(at)));
    }
    let mut kept = hidden(text, shown, found);
    if shown < text.len() {
        kept.push('…');
    }
    Some(kept)
}

/// The text up to `end` without the ranges that were found, which may overlap.
fn hidden(text: &str, end: usize, mut found: Vec<Range<usize>>) -> String {
    found.sort_unstable_by_key(|at| at.start);
    let mut kept = String::with_capacity(end);
    let mut done = 0;
    for at in found.into_iter().filter(|at| at.start < end) {
        if at.start >= done {
            kept.push_str(text.get(done..at.start).unwrap_or_default());
            kept.push_str(REDACTED);
        }
        done = done.max(at.end);
    }
    kept.push_str(text.get(done..end).unwrap_or_default());
    kept
}

/// The values that may occur in the texts.
struct Patterns<'a> {
    automaton: AhoCorasick,
    /// For each pattern, whether it is the prefix of a longer value.
    is_prefix: Vec<bool>,
    /// The longer values, sorted.
    long: Vec<&'a str>,
}

impl<'a> Patterns<'a> {
    fn of(values: &'a BTreeSet<String>, views: &[View]) -> Option<Self> {
        let grams = Grams::of(views.iter().map(|view| view.text.as_bytes()));
        let mut patterns: Vec<&str> = Vec::new();
        let mut is_prefix = Vec::new();
        let mut long = Vec::new();
        for value in values {
            let prefix = value.get(..value.floor_char_boundary(PREFIX_BYTES))?;
            if !grams.may_have(prefix.as_bytes()) {
                continue;
            }
            let continues = prefix.len() < value.len();
            if continues {
                long.push(value.as_str());
            }
            // The values are sorted, so those with the same prefix are adjacent.
            match (patterns.last(), is_prefix.last_mut()) {
                (Some(last), Some(is_prefix)) if *last == prefix => *is_prefix |= continues,
                _ => {
                    patterns.push(prefix);
                    is_prefix.push(continues);
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(patterns)
            .ok()?;
        Some(Self {
            automaton,
            is_prefix,
            long,
        })
    }

    /// Finds every occurrence of a value. Values may overlap and contain each other.
    fn find(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        // The range already hidden by a longer value.
        let mut hidden = 0..0;
        for hit in self.automaton.find_overlapping_iter(text) {
            if hidden.start <= hit.start() && hit.end() <= hidden.end {
                continue;
            }
            let continues = self.is_prefix.get(hit.pattern().as_usize());
            let end = match continues {
                Some(true) => self.end_of_long(text, hit.start()).max(hit.end()),
                _ => hit.end(),
            };
            let at = hit.start()..end;
            if continues == Some(&true) {
                hidden = at.clone();
            } else if !word::is_whole_match(text, &at) {
                continue;
            }
            found(at);
        }
    }

    /// The end of the longest match of a long value at `start`. Only the two neighbors in sort
    /// order can match longest.
    fn end_of_long(&self, text: &str, start: usize) -> usize {
        let rest = text.get(start..).unwrap_or_default();
        let next = self.long.partition_point(|value| *value <= rest);
        let neighbors = [next.checked_sub(1), Some(next)];
        let common = neighbors
            .into_iter()
            .flatten()
            .filter_map(|at| self.long.get(at))
            .map(|value| {
                let same = |(a, b): &(u8, u8)| a == b;
                value.bytes().zip(rest.bytes()).take_while(same).count()
            });
        text.floor_char_boundary(start + common.max().unwrap_or_default())
    }
}

/// A Bloom filter of the byte runs of length one to four in the texts. A value with a run that is
/// missing does not occur in them.
struct Grams(Vec<u64>);

impl Grams {
    const BITS: u32 = 18;
    const BYTES: usize = 4;

    fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut grams = Self(vec![0; 1 << (Self::BITS - 6)]);
        for text in texts {
            for at in 0..text.len() {
                let rest = text.get(at..).unwrap_or_default();
                for len in 1..=Self::BYTES.min(rest.len()) {
                    let bit = Self::bit(rest.get(..len).unwrap_or_default());
                    if let Some(word) = grams.0.get_mut(bit / 64) {
                        *word |= 1 << (bit % 64);
                    }
                }
            }
        }
        grams
    }

    fn may_have(&self, pattern: &[u8]) -> bool {
        let len = Self::BYTES.min(pattern.len()).max(1);
        pattern.windows(len).all(|gram| {
            let bit = Self::bit(gram);
            self.0
                .get(bit / 64)
                .is_some_and(|word| word & (1 << (bit % 64)) != 0)
        })
    }

    fn bit(gram: &[u8]) -> usize {
        let bytes = gram
            .iter()
            .fold(1_u32, |bytes, byte| (bytes << 8) | u32::from(*byte));
        let mixed = (bytes ^ (gram.len() as u32)).wrapping_mul(0x9e37_79b1);
        (mixed >> (32 - Self::BITS)) as usize
    }
}

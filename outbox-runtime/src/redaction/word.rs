//! Word boundaries, at which short values are hidden.

use std::ops::Range;

/// Shorter values are hidden only if they are whole words: `a` occurs in too many others.
const WORD_CHARS: usize = 4;

/// Whether a match in `text` may be the value, rather than part of something else.
pub(super) fn is_whole_match(text: &str, at: &Range<usize>) -> bool {
    let (Some(before), Some(value), Some(after)) = (
        text.get(..at.start),
        text.get(at.clone()),
        text.get(at.end..),
    ) else {
        return false;
    };
    if value.chars().nth(WORD_CHARS - 1).is_some() {
        return true;
    }
    if value.chars().all(|c| c.is_ascii_punctuation() || c == ' ') {
        // Punctuation counts only if it does not touch a word.
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        return !touches(before.chars().next_back()) && !touches(after.chars().next());
    }
    let until_end = text.get(..at.end).unwrap_or_default();
    !word_continues(before, value) && !word_continues(until_end, after)
}

/// Whether the word at the end of `before` continues in `after`. The table is in the documentation
/// of `Redaction`.
fn word_continues(before: &str, after: &str) -> bool {
    let mut back = before.chars().rev();
    let (Some(last), Some(next)) = (back.next(), after.chars().next()) else {
        return false;
    };
    match (Kind::of(last), Kind::of(next)) {
        (Kind::Digit, Kind::Digit)
        | (_, Kind::Mark)
        | (Kind::Mark, Kind::Small | Kind::Capital)
        | (Kind::Small, Kind::Small)
        | (Kind::Capital, Kind::Capital) => true,
        // A capital begins a word, and several of them form an acronym.
        (Kind::Capital, Kind::Small) => back.next().is_none_or(|c| Kind::of(c) != Kind::Capital),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    Small,
    Capital,
    /// A combining mark on the preceding letter.
    Mark,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            '\u{300}'..='\u{36f}' => Self::Mark,
            c if c.is_numeric() => Self::Digit,
            c if c.is_lowercase() => Self::Small,
            c if c.is_uppercase() => Self::Capital,
            _ => Self::Other,
        }
    }
}

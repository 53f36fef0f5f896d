//! Text of others on a terminal or a page: ids and messages may hold anything, escape sequences
//! included.

use std::borrow::Cow;

/// Escapes characters that would move the cursor, or change the direction of the text.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unsafe(c) {
            true => cleaned.extend(c.escape_default()),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// Escapes a text and cuts it to a number of characters.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}' | '\u{2029}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_directions_are_escaped() {
        assert_eq!(clean("Zoë 1:2"), "Zoë 1:2");
        assert_eq!(clean("\u{1b}[2Jx\r\n"), "\\u{1b}[2Jx\\r\\n");
        assert_eq!(
            clean("a\u{202e}b\u{2066}\u{9b}"),
            "a\\u{202e}b\\u{2066}\\u{9b}"
        );
    }

    #[test]
    fn a_long_text_is_cut_after_it_is_escaped() {
        assert_eq!(cut("Ärger", 5), "Ärger");
        assert_eq!(cut("Ärgerlich", 5), "Ärge…");
        assert_eq!(cut("\u{1b}\u{1b}", 4), "\\u{…");
    }
}

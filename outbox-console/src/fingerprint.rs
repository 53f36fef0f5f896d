//! Errors that differ in ids and numbers only have one fingerprint.

/// A fingerprint is cut to this number of characters.
const LONGEST: usize = 160;

/// A piece of an error.
struct Piece<'t> {
    text: &'t str,
    /// The sign that stands for it, if it varies from error to error.
    sign: Option<char>,
}

/// The text with a sign for each number, id and quoted value.
pub(crate) fn fingerprint(text: &str) -> String {
    let mut print = String::new();
    for piece in pieces(text) {
        match piece.sign {
            Some(sign) => print.push(sign),
            None => print.push_str(piece.text),
        }
        if print.len() > LONGEST * 4 {
            break;
        }
    }
    print.chars().take(LONGEST).collect()
}

/// The longest part of the text that its fingerprint leaves as it is, to look for others like it.
pub(crate) fn constant_part(text: &str) -> &str {
    let mut longest = "";
    let (mut begin, mut end) = (0, 0);
    for piece in pieces(text) {
        let after = end + piece.text.len();
        if piece.sign.is_some() {
            begin = after;
        }
        end = after;
        let part = text[begin..end].trim();
        if part.len() > longest.len() {
            longest = part;
        }
    }
    longest
}

/// The text in words, quoted values, and the characters between them.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (length, sign) = match (quoted(rest, first), word) {
            (Some(length), _) => (length, Some('…')),
            (None, 0) => (first.len_utf8(), None),
            (None, length) => (length, varies(&rest[..length]).then_some('#')),
        };
        let (text, after) = rest.split_at(length);
        rest = after;
        Some(Piece { text, sign })
    })
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

/// Whether a word varies from error to error. An HTTP status does not: it tells errors apart.
fn varies(word: &str) -> bool {
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let is_status = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let is_id = word.len() >= 16 && word.bytes().all(is_of_id);
    has_digit && !is_status || is_id
}

/// The length of a value in quotes or backticks that begins here.
fn quoted(rest: &str, first: char) -> Option<usize> {
    if !matches!(first, '"' | '`') {
        return None;
    }
    let end = rest[1..].find(first)?;
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_ids_and_numbers_have_one_fingerprint() {
        let one = "HTTP 422: meal 4711 of user \"ann\" has no unit (request 0190b5e2-7b1c-7cc3)";
        let other = "HTTP 422: meal 9 of user \"b o b\" has no unit (request 77b5e2ff-1111-7cc3)";
        assert_eq!(fingerprint(one), fingerprint(other));
        assert_ne!(fingerprint(one), fingerprint(&one.replace("422", "500")));
        assert_ne!(fingerprint(one), fingerprint(&one.replace("unit", "name")));
    }

    #[test]
    fn the_constant_part_is_in_every_error_of_the_fingerprint() {
        let text = "meal 4711: unknown unit \"kcal\"";
        assert_eq!(constant_part(text), ": unknown unit");
        assert_eq!(constant_part("4711"), "");
        assert_eq!(constant_part("timed out"), "timed out");
    }

    #[test]
    fn any_text_has_a_bounded_fingerprint() {
        for text in [
            "",
            "\"",
            "`x",
            "é\"ü\"💥",
            "\u{0}\u{202e}",
            &"a".repeat(9_999),
            &"\"x\" ".repeat(999),
        ] {
            assert!(fingerprint(text).chars().count() <= LONGEST);
            assert!(text.contains(constant_part(text)));
        }
    }
}

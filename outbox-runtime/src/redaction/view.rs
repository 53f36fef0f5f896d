//! A text with its escapes decoded, and the position of each part in the original text.

use std::ops::Range;

/// A derived text with the positions of its parts.
pub(super) struct View {
    pub(super) text: String,
    /// For each byte, the start of its character in the original; the last element is the end.
    starts: Vec<usize>,
}

impl View {
    /// The text on one line.
    pub(super) fn of(text: &str) -> Self {
        let mut view = Self {
            text: String::with_capacity(text.len()),
            starts: Vec::with_capacity(text.len() + 1),
        };
        let mut last = None;
        for (at, c) in text.char_indices() {
            // A line break, like `\n`.
            if (last.replace(c), c) != (Some('\r'), '\n') {
                view.push(c, at);
            }
        }
        view.starts.push(text.len());
        view
    }

    /// The text with one layer of escapes decoded; `None` if there are no escapes.
    pub(super) fn unescaped(&self) -> Option<Self> {
        if !self.text.contains(['\\', '%', '&']) {
            return None;
        }
        let mut view = Self {
            text: String::with_capacity(self.text.len()),
            starts: Vec::with_capacity(self.starts.len()),
        };
        let mut is_changed = false;
        let mut at = 0;
        while let Some(c) = self.text.get(at..).and_then(|rest| rest.chars().next()) {
            let behind = self.text.get(at + c.len_utf8()..).unwrap_or_default();
            let escape = match c {
                '\\' => escape(behind),
                '%' => byte_escapes(behind, "%"),
                '&' => entity(behind),
                _ => None,
            };
            is_changed |= escape.is_some();
            let (c, len) = escape.map_or((c, c.len_utf8()), |(c, len)| (c, len + 1));
            view.push(c, self.starts.get(at).copied().unwrap_or_default());
            at += len;
        }
        view.starts.extend(self.starts.last());
        is_changed.then_some(view)
    }

    /// The range in the original text.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = |at: usize| self.starts.get(at).copied().unwrap_or_default();
        start(range.start)..start(range.end)
    }

    fn push(&mut self, c: char, start: usize) {
        let c = if c.is_control() { ' ' } else { c };
        self.text.push(c);
        self.starts.resize(self.text.len(), start);
    }
}

/// The form in which rows store a text.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(char::is_control, " ")
}

/// Decodes the escape after a backslash, as in JSON, Rust, Python, PHP or C. Returns the character
/// and the length in bytes.
fn escape(rest: &str) -> Option<(char, usize)> {
    let first = rest.chars().next()?;
    Some(match first {
        '"' | '\'' | '/' | '\\' => (first, 1),
        'r' if rest.starts_with("r\\n") => (' ', 3),
        'n' | 'r' | 't' | 'b' | 'f' | 'v' | 'a' | '0' => (' ', 1),
        'x' => byte_escapes(rest.get(1..)?, "\\x").map(|(c, len)| (c, len + 1))?,
        'U' => (char::from_u32(hex(rest.get(1..9)?)?)?, 9),
        'u' if rest.starts_with("u{") => {
            let digits = rest
                .bytes()
                .skip(2)
                .take(8)
                .take_while(u8::is_ascii_hexdigit);
            let end = 2 + digits.count();
            let closed = rest.get(end..)?.starts_with('}');
            let c = char::from_u32(hex(rest.get(2..end)?)?);
            (c.filter(|_| closed)?, end + 1)
        }
        'u' => unit(rest)?,
        _ => return None,
    })
}

/// Decodes the bytes of one character, each written as two hexadecimal digits and each but the
/// first preceded by `mark`: `c3%bc`. Bytes that are not UTF-8 are Latin-1, as in Python.
fn byte_escapes(rest: &str, mark: &str) -> Option<(char, usize)> {
    let byte = |at: usize| {
        let byte = hex(rest.get(at..at + 2)?)?;
        u8::try_from(byte).ok()
    };
    let first = byte(0)?;
    let mut bytes = vec![first];
    let mut at = 2;
    while bytes.len() < 4
        && rest.get(at..).is_some_and(|rest| rest.starts_with(mark))
        && let Some(next) = byte(at + mark.len())
    {
        bytes.push(next);
        at += mark.len() + 2;
    }
    if bytes.starts_with(b"\r\n") {
        return Some((' ', 4 + mark.len()));
    }
    let utf8 = (1..=bytes.len()).find_map(|len| {
        let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
        Some((text.chars().next()?, len * 2 + (len - 1) * mark.len()))
    });
    utf8.or(Some((char::from(first), 2)))
}

/// Decodes the HTML entity after an `&`. Returns the character and the length in bytes.
fn entity(rest: &str) -> Option<(char, usize)> {
    let end = rest.bytes().take(10).position(|byte| byte == b';')?;
    let c = match rest.get(..end)? {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        name => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => hex(digits)?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)?
        }
    };
    Some((c, end + 1))
}

/// Decodes `uXXXX`, or a surrogate pair.
fn unit(rest: &str) -> Option<(char, usize)> {
    let first = hex(rest.get(1..5)?)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 5));
    }
    let second = rest.get(5..)?.strip_prefix("\\u")?;
    let second = hex(second.get(..4)?)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let c = char::decode_utf16(pair).next()?.ok()?;
    Some((c, 11))
}

fn hex(digits: &str) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
}

//! A text as it reads without escapes, and where each part of it stands in the text as it is.

use std::ops::Range;

/// A text that was made of another, with the places.
pub(super) struct View {
    pub(super) text: String,
    /// Of each byte, where the character that it belongs to begins in the original; and at last, where that ends.
    starts: Vec<usize>,
}

impl View {
    /// The text on one line.
    pub(super) fn of(text: &str) -> Self {
        let mut view = Self {
            text: String::with_capacity(text.len()),
            starts: Vec::with_capacity(text.len() + 1),
        };
        for (at, c) in text.char_indices() {
            view.push(c, at);
        }
        view.starts.push(text.len());
        view
    }

    /// The same without one layer of escapes; `None` where there is none.
    pub(super) fn unescaped(&self) -> Option<Self> {
        if !self.text.contains('\\') {
            return None;
        }
        let mut view = Self {
            text: String::with_capacity(self.text.len()),
            starts: Vec::with_capacity(self.starts.len()),
        };
        let mut is_changed = false;
        let mut at = 0;
        while let Some(c) = self.text.get(at..).and_then(|rest| rest.chars().next()) {
            let escape = match c {
                '\\' => self.text.get(at + 1..).and_then(escape),
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

    /// Where a part of this text stands in the original.
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

/// A text in the form in which rows keep it.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What is behind a backslash, and how many bytes of it: in JSON, Rust, Python, PHP, C.
fn escape(rest: &str) -> Option<(char, usize)> {
    let first = rest.chars().next()?;
    Some(match first {
        '"' | '\'' | '/' | '\\' => (first, 1),
        'n' | 'r' | 't' | 'b' | 'f' | 'v' | 'a' | '0' => (' ', 1),
        'x' => (char::from_u32(hex(rest.get(1..3)?)?)?, 3),
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

/// `uXXXX`, or two of them that are one character.
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

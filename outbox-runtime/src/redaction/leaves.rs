//! The scalar values of a JSON text. Reading the text itself preserves the spelling of numbers.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A scalar value.
pub(super) enum Leaf<'a> {
    Text(Cow<'a, str>),
    /// As written in the text.
    Number(&'a str),
}

/// Calls `found` with every string and number of a JSON text, except those in the fields of the
/// outermost object listed in `shown`.
///
/// `json` is expected to be valid; for invalid JSON the result is a best effort.
pub(super) fn each(json: &[u8], shown: &[&str], mut found: impl FnMut(Leaf<'_>)) {
    let mut depth = 0_usize;
    let mut is_shown = false;
    for token in Tokens::of(json) {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Key(key) if depth == 1 => is_shown = shown.contains(&&*decoded(key)),
            Token::Text(text) if !is_shown => found(Leaf::Text(decoded(text))),
            Token::Number(number) if !is_shown => found(Leaf::Number(number)),
            _ => {}
        }
    }
}

/// The path of the value at the end of `json`, a prefix of a JSON text: `visits[2].reason`. Empty
/// at the top level.
///
/// A key inside a field of the outermost object that is not in `shown` is written as `*`, because
/// it may belong to a map; so is a key of the outermost object itself that is not `named`.
pub(crate) fn path_at(json: &[u8], shown: &[&str], named: impl Fn(&str) -> bool) -> String {
    enum Place<'a> {
        Key(Option<&'a [u8]>),
        Index(usize),
    }
    let mut places: Vec<Place<'_>> = Vec::new();
    for token in Tokens::of(json) {
        match (token, places.last_mut()) {
            (Token::Open(b'{'), _) => places.push(Place::Key(None)),
            (Token::Open(_), _) => places.push(Place::Index(0)),
            (Token::Close, _) => drop(places.pop()),
            (Token::Key(key), Some(Place::Key(place))) => *place = Some(key),
            (Token::Comma, Some(Place::Index(at))) => *at += 1,
            (Token::Comma, Some(Place::Key(place))) => *place = None,
            _ => {}
        }
    }
    let mut path = String::new();
    let mut is_shown = true;
    for (depth, place) in places.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = match place {
            Place::Index(at) => write!(path, "[{at}]"),
            Place::Key(None) => Ok(()),
            Place::Key(Some(key)) => {
                let key = decoded(key);
                let dot = if path.is_empty() { "" } else { "." };
                let told = if depth == 0 { named(&key) } else { is_shown };
                is_shown &= depth > 0 || shown.contains(&&*key);
                match told {
                    true => write!(path, "{dot}{}", key.escape_debug()),
                    false => write!(path, "{dot}*"),
                }
            }
        };
    }
    path
}

/// Decodes the inner part of a JSON string.
fn decoded(inner: &[u8]) -> Cow<'_, str> {
    let plain = String::from_utf8_lossy(inner);
    if !inner.contains(&b'\\') {
        return plain;
    }
    match serde_json::from_str(&format!("\"{plain}\"")) {
        Ok(text) => Cow::Owned(text),
        Err(_) => plain,
    }
}

enum Token<'a> {
    /// `{` or `[`.
    Open(u8),
    Close,
    Comma,
    /// Without the quotes.
    Key(&'a [u8]),
    Text(&'a [u8]),
    Number(&'a str),
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn of(json: &'a [u8]) -> Self {
        Self { rest: json }
    }

    /// Takes up to `count` bytes.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Reads a string after its opening quote, and decides whether it is a key.
    fn string(&mut self) -> Token<'a> {
        let mut end = 0;
        while let Some(byte) = self.rest.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let inner = self.take(end);
        self.take(1);
        match self.rest.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b':') => Token::Key(inner),
            _ => Token::Text(inner),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = *self.rest.first()?;
            if byte == b'-' || byte.is_ascii_digit() {
                let is_part = |byte: &u8| {
                    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
                };
                let len = self.rest.iter().take_while(|byte| is_part(byte)).count();
                let number = self.take(len);
                return Some(Token::Number(
                    std::str::from_utf8(number).unwrap_or_default(),
                ));
            }
            self.take(1);
            return Some(match byte {
                b'{' | b'[' => Token::Open(byte),
                b'}' | b']' => Token::Close,
                b',' => Token::Comma,
                b'"' => self.string(),
                _ => continue,
            });
        }
    }
}

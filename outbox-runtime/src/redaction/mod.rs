//! Redaction: what `#[outbox(sensitive)]` keeps out of sight.
//!
//! The derive leaves sensitive fields out of `Debug`. What a handler says about a failure is a text that may quote them all the
//! same, because a remote service likes to repeat what it refused. Such texts are searched for the values themselves before
//! they are stored or logged.

mod leaves; // the values within JSON
mod names; // what JSON has as keys and is a value
mod number; // a number in its usual spellings
mod search; // many values in one text
mod view; // a text as it reads without escapes
mod word; // what a short value is a part of

use std::collections::BTreeSet;
use std::fmt;

use chrono::NaiveDateTime;
use serde::Serialize;
use serde_json::Value;

use self::leaves::Leaf;
pub(crate) use self::leaves::path_at;
use self::names::Name;
use self::number::Numbers;
pub(crate) use self::search::REDACTED;

/// What of an entity's metadata is sensitive, by the names that its fields have in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sensitive {
    /// Nothing is said about it: the entity is implemented by hand, and [`hide_sensitive`] knows.
    ///
    /// [`hide_sensitive`]: crate::OutboxEntity::hide_sensitive
    ByHand,
    /// Nothing is sensitive.
    Nothing,
    /// Everything is, except for the fields of these names.
    ///
    /// Naming what may be shown makes a mistake a word too few in a message, and not a secret too many.
    AllBut(&'static [&'static str]),
}

/// Collects the sensitive values of one event, to take them out of texts about it.
///
/// # What is found
///
/// Every string and number within a value, as JSON has it, the keys of maps and the variants of
/// enums. Booleans, `null` and the names of fields are not searched for.
///
/// - A string is found as it is, on one line, and however JSON, `Debug`, Python or PHP escape it
///   (`\n`, `\"`, `\/`, `\u00fc`, `\u{fc}`, `\xfc`), bytes (`\xc3\xbc`), URLs (`%C3%BC`, `+`) and
///   HTML (`&#252;`, `&amp;`), also one within the other, three times.
/// - A number is found in its usual spellings: `120` as `120.0`, `1.2e2` or `120,0`; `4915` as
///   `4,915` or `4 915`; `-5` as `5`; `0.5` as `.5`.
/// - A time is found with a space or a `T` between date and time, with and without its fraction and
///   its zone.
/// - A variant is found in the usual spellings of names: `very_sad` as `VerySad`, `verySad`,
///   `VERY_SAD`, `very-sad`.
/// - Of a value of more than 64 bytes, its first 64 bytes are found, and what follows is hidden as far as it is the value: a service
///   that cuts what it repeats shows nothing either.
///
/// A value that is changed, or encoded in another way, is not recognized.
///
/// # Short values
///
/// A value of four characters or more is hidden wherever it stands. A shorter one is a part of too many others, so that it is hidden
/// only where no word goes on around it. What a word is depends on the script:
///
/// | the value and what it touches | | example |
/// |---|---|---|
/// | letters of a script with capitals (Latin, Greek, Cyrillic, ..) | one word | `a` stays in `cat` |
/// | a capital after a small letter, small letters after an acronym | two words | `HIV` is hidden in `HIVpos` |
/// | digits | one number | `5` stays in `50` |
/// | a letter and a digit | two words | `42` is hidden in `42kg` |
/// | a letter of another script (Han, kana, Thai, Hangul, Arabic, ..) | two words | `癌` is hidden in `肺癌です` |
///
/// Scripts without capitals set words next to each other without spaces, or attach particles to them.
///
/// # Examples
///
/// An entity that implements [`OutboxEntity`](crate::OutboxEntity) by hand does what the derive does for
/// `#[outbox(sensitive)]`:
///
/// ```
/// use outbox_runtime::support::Redaction;
///
/// let mut redaction = Redaction::default();
/// redaction.hide(&Some("lost my job"));
/// let message = "HTTP 400: \"lost my job\" is too long".to_owned();
/// assert_eq!(redaction.apply(message), "HTTP 400: \"[redacted]\" is too long");
/// ```
#[derive(Default)]
pub struct Redaction {
    texts: BTreeSet<String>,
    numbers: Numbers,
    /// A value is not known, so that any text may show it.
    hides_all: bool,
    /// Something was to be hidden, even if it turned out to be `null`.
    is_asked: bool,
}

impl Redaction {
    /// The longest text that is searched, in bytes. What follows is left out of the result.
    ///
    /// More than eight times [`MAX_MESSAGE_BYTES`](crate::store::MAX_MESSAGE_BYTES), which is what a row keeps of it.
    pub const MAX_TEXT_BYTES: usize = search::MAX_TEXT_BYTES;

    /// Adds a value, in the form that its `Serialize` gives it in JSON.
    pub fn hide<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.hide_all_but(value, &[]);
    }

    /// Adds every field of `metadata` but those of these names.
    pub(crate) fn hide_all_but<T: Serialize + ?Sized>(&mut self, metadata: &T, shown: &[&str]) {
        self.is_asked = true;
        match serde_json::to_vec(metadata) {
            Ok(json) => self.hide_json(&json, shown),
            Err(_) => self.hides_all = true,
        }
        for name in names::of(metadata, shown) {
            match name {
                Name::Key(Value::String(key)) => self.hide_text(&key),
                Name::Key(Value::Number(key)) => self.hide_number(&key.to_string()),
                Name::Key(_) => {}
                Name::Variant(variant) => {
                    let spellings = names::spellings(variant);
                    spellings
                        .iter()
                        .for_each(|spelling| self.hide_text(spelling));
                }
            }
        }
    }

    /// Adds what stands in the row beside what was added, as another program may have spelled it.
    ///
    /// Which fields of an older version are sensitive, nobody said: all of them are.
    pub(crate) fn hide_stored(&mut self, stored: &[u8], of: Sensitive, is_newest: bool) {
        match of {
            _ if !self.is_asked => {}
            _ if !is_newest => self.hide_json(stored, &[]),
            Sensitive::AllBut(shown) => self.hide_json(stored, shown),
            Sensitive::ByHand | Sensitive::Nothing => {}
        }
    }

    /// The text without the values, at most [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES) of it; nothing of it where a value could not
    /// be read.
    #[must_use]
    pub fn apply(self, text: String) -> String {
        if self.hides_all {
            return REDACTED.to_owned();
        }
        if self.texts.is_empty() && self.numbers.is_empty() {
            return text;
        }
        search::without(&text, &self.texts, &self.numbers).unwrap_or_else(|| REDACTED.to_owned())
    }

    fn hide_json(&mut self, json: &[u8], shown: &[&str]) {
        leaves::each(json, shown, |leaf| match leaf {
            Leaf::Text(text) => self.hide_text(&text),
            Leaf::Number(number) => self.hide_number(number),
        });
    }

    fn hide_text(&mut self, text: &str) {
        let text = view::on_one_line(text.trim());
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.numbers.hide(text);
        if !self.texts.contains(text) {
            self.texts.insert(text.to_owned());
        }
        // A time as programs show it: `2026-01-02T03:04:05Z` is `2026-01-02 03:04:05 UTC`.
        if let Some(time) = without_zone(text) {
            self.texts.insert(time.replacen(['T', 't'], " ", 1));
            self.texts.insert(time.replacen(['t', ' '], "T", 1));
            let seconds = time.split('.').next().unwrap_or(time);
            self.texts.insert(seconds.replacen(['T', 't'], " ", 1));
            self.texts.insert(seconds.replacen(['t', ' '], "T", 1));
        }
        // As forms and query strings have it.
        if text.contains(' ') {
            self.texts.insert(text.replace(' ', "+"));
        }
    }

    fn hide_number(&mut self, number: &str) {
        let digits = number.trim_start_matches('-');
        self.numbers.hide(number);
        // A part of a longer run of digits is no number, but it is the value all the same.
        for spelling in [number, digits, digits.trim_end_matches(".0")] {
            if !self.texts.contains(spelling) {
                self.texts.insert(spelling.to_owned());
            }
        }
    }
}

/// The date and time of a text that is both.
fn without_zone(text: &str) -> Option<&str> {
    let is_time = matches!(text.as_bytes().get(4), Some(b'-'))
        && matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    let zone = text.get(19..).filter(|_| is_time)?;
    let digits = |fraction: &str| fraction.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = zone
        .strip_prefix('.')
        .map_or(0, |fraction| 1 + digits(fraction));
    let time = text.get(..19 + fraction)?;
    let form = "%Y-%m-%d %H:%M:%S%.f";
    NaiveDateTime::parse_from_str(&time.replacen(['T', 't'], " ", 1), form).ok()?;
    Some(time)
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({} values)", self.texts.len())
    }
}

/// In a derived `Debug`, what stands for a sensitive field.
#[doc(hidden)]
pub struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

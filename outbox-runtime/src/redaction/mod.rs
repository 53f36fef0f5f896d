//! Redaction of `#[outbox(sensitive)]` values in texts.
//!
//! The derive omits sensitive fields from `Debug`. A handler's error message may still quote them,
//! because remote services tend to repeat what they reject. Such messages are searched for the
//! values before they are stored or logged.

mod leaves; // the scalar values of a JSON text
mod names; // map keys and enum variants
mod number; // numbers in any notation
mod search; // searching many values in one text
mod view; // a text with its escapes decoded
mod word; // word boundaries for short values

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

/// The sensitive fields of an entity's metadata, by their names in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sensitive {
    /// Unspecified: the entity is implemented manually, and [`hide_sensitive`] registers the
    /// values.
    ///
    /// [`hide_sensitive`]: crate::OutboxEntity::hide_sensitive
    ByHand,
    /// No field is sensitive.
    Nothing,
    /// Every field is sensitive except these.
    ///
    /// Listing the visible fields fails safe: a mistake hides a word too many instead of revealing
    /// a secret.
    AllBut(&'static [&'static str]),
}

/// The sensitive values of one event, to be removed from texts about it.
///
/// # Recognized forms
///
/// Every string and number within a value in its JSON form, the keys of maps and the variants of
/// enums are recognized. Booleans, `null` and field names are not.
///
/// - A string is recognized as it is, on one line, and with the escapes of JSON, `Debug`, Python or
///   PHP (`\n`, `\"`, `\/`, `\u00fc`, `\u{fc}`, `\xfc`), of bytes (`\xc3\xbc`), URLs (`%C3%BC`,
///   `+`) and HTML (`&#252;`, `&amp;`), nested up to three levels.
/// - A number is recognized in its usual notations: `120` as `120.0`, `1.2e2` or `120,0`; `4915` as
///   `4,915` or `4 915`; `-5` as `5`; `0.5` as `.5`.
/// - A time is recognized with a space or a `T` between date and time, and with or without its
///   fraction and its zone.
/// - A variant is recognized in the usual spellings of names: `very_sad` as `VerySad`, `verySad`,
///   `VERY_SAD`, `very-sad`.
/// - A value of more than 64 bytes is recognized by its first 64 bytes, and hidden for as long as
///   the text continues to match it. A service that truncates the value therefore does not reveal
///   it either.
///
/// A value that is modified or encoded in another way is not recognized.
///
/// # Short values
///
/// A value of four characters or more is hidden wherever it occurs. A shorter value occurs inside
/// too many other words and is hidden only at word boundaries. The script determines what a word
/// is:
///
/// | the value and its neighbor | | example |
/// |---|---|---|
/// | letters of a script with capitals (Latin, Greek, ..) | one word | `a` stays in `cat` |
/// | a capital after a lowercase letter; lowercase after an acronym | two words | `HIV` is hidden in `HIVpos` |
/// | digits | one number | `5` stays in `50` |
/// | a letter and a digit | two words | `42` is hidden in `42kg` |
/// | a letter of another script (Han, Thai, Arabic, ..) | two words | `癌` is hidden in `肺癌です` |
///
/// Scripts without capitals write words next to each other without spaces, or attach particles to
/// them.
///
/// # Examples
///
/// A manual implementation of [`OutboxEntity`](crate::OutboxEntity) does what the derive does for
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
    /// A value is unknown, so any text may contain it.
    hides_all: bool,
    /// A value was registered, even if it turned out to be `null`.
    has_registered: bool,
}

impl Redaction {
    /// The maximum length of the searched text, in bytes. The result is truncated there.
    ///
    /// More than eight times [`MAX_MESSAGE_BYTES`](crate::store::MAX_MESSAGE_BYTES), the length
    /// that a row keeps.
    pub const MAX_TEXT_BYTES: usize = search::MAX_TEXT_BYTES;

    /// Registers a value, in the JSON form that its `Serialize` implementation produces.
    pub fn hide<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.hide_all_but(value, &[]);
    }

    /// Registers every field of `metadata` except those in `shown`.
    pub(crate) fn hide_all_but<T: Serialize + ?Sized>(&mut self, metadata: &T, shown: &[&str]) {
        self.has_registered = true;
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

    /// Registers the stored metadata in addition, because another program may have spelled the
    /// values differently.
    ///
    /// For an older version the sensitive fields are unknown, so all fields count as sensitive.
    pub(crate) fn hide_stored(&mut self, stored: &[u8], of: Sensitive, is_newest: bool) {
        match of {
            _ if !self.has_registered => {}
            _ if !is_newest => self.hide_json(stored, &[]),
            Sensitive::AllBut(shown) => self.hide_json(stored, shown),
            Sensitive::ByHand | Sensitive::Nothing => {}
        }
    }

    /// Returns the text without the values, truncated at [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES).
    /// If a value could not be read, the whole text is replaced.
    #[must_use]
    pub fn apply(self, text: String) -> String {
        if self.hides_all {
            return REDACTED.to_owned();
        }
        if self.texts.is_empty() && self.numbers.is_empty() {
            return text;
        }
        search::redacted(&text, &self.texts, &self.numbers).unwrap_or_else(|| REDACTED.to_owned())
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
        // The form in which programs display times: `2026-01-02T03:04:05Z` as `2026-01-02 03:04:05
        // UTC`.
        if let Some(time) = without_zone(text) {
            self.texts.insert(time.replacen(['T', 't'], " ", 1));
            self.texts.insert(time.replacen(['t', ' '], "T", 1));
            let seconds = time.split('.').next().unwrap_or(time);
            self.texts.insert(seconds.replacen(['T', 't'], " ", 1));
            self.texts.insert(seconds.replacen(['t', ' '], "T", 1));
        }
        // The form in query strings and HTML forms.
        if text.contains(' ') {
            self.texts.insert(text.replace(' ', "+"));
        }
    }

    fn hide_number(&mut self, number: &str) {
        let digits = number.trim_start_matches('-');
        self.numbers.hide(number);
        // Part of a longer run of digits is not the same number, but it still reveals the value.
        for spelling in [number, digits, digits.trim_end_matches(".0")] {
            if !self.texts.contains(spelling) {
                self.texts.insert(spelling.to_owned());
            }
        }
    }
}

/// Returns the date and time without the zone, if the text is a timestamp.
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

/// The placeholder for a sensitive field in a derived `Debug`.
#[doc(hidden)]
pub struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

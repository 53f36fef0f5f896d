//! Redaction: what `#[outbox(sensitive)]` keeps out of sight.
//!
//! The derive leaves sensitive fields out of `Debug`. What a handler says about a failure is a text that may quote them all the
//! same, for a remote service likes to repeat what it refused; so such texts are searched for the values themselves before
//! they are stored or logged.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What stands where a sensitive value was.
pub(crate) const REDACTED: &str = "[redacted]";

/// Shorter values are hidden only where they stand as words of their own: `a` is a part of too many others.
const WORD_CHARS: usize = 4;

/// Collects the sensitive values of one event, to take them out of texts about it.
///
/// Every string and number within a value is one to hide, as it is and in the ways in which texts quote it. Booleans, `null`
/// and the keys of maps are not. A value that was changed, cut or encoded in some other way is not recognised.
///
/// # Examples
///
/// An entity that implements [`OutboxEntity`](crate::OutboxEntity) by hand does what the derive does for
/// `#[outbox(sensitive)]`:
///
/// ```
/// use outbox_runtime::Redaction;
///
/// let mut redaction = Redaction::default();
/// redaction.hide(&Some("lost my job"));
/// let message = "HTTP 400: \"lost my job\" is too long".to_owned();
/// assert_eq!(redaction.apply(message), "HTTP 400: \"[redacted]\" is too long");
/// ```
#[derive(Default)]
pub struct Redaction {
    hidden: Vec<String>,
    /// A value is not known, so that any text may show it.
    hides_all: bool,
}

impl Redaction {
    /// Adds a value.
    pub fn hide<T: Serialize + ?Sized>(&mut self, value: &T) {
        match serde_json::to_value(value) {
            Ok(value) => self.hide_leaves(&value),
            Err(_) => self.hides_all = true,
        }
    }

    /// The text without the values; nothing of it where a value could not be read.
    #[must_use]
    pub fn apply(mut self, text: String) -> String {
        if self.hides_all {
            return REDACTED.to_owned();
        }
        // A value may be a part of another.
        self.hidden
            .sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
        self.hidden.dedup();
        self.hidden
            .iter()
            .fold(text, |text, value| without(&text, value))
    }

    fn hide_leaves(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.hidden.push(number.to_string()),
            Value::String(text) => self.hide_text(text),
            Value::Array(values) => values.iter().for_each(|value| self.hide_leaves(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.hide_leaves(value)),
        }
    }

    /// A string as it is, on one line, and as JSON and `Debug` quote it.
    fn hide_text(&mut self, text: &str) {
        let on_one_line = text.replace(char::is_control, " ");
        let in_json = Value::from(text).to_string();
        let quoted =
            [in_json.trim_matches('"'), &text.escape_debug().to_string()].map(str::to_owned);
        let spellings = [text.to_owned(), on_one_line].into_iter().chain(quoted);
        self.hidden
            .extend(spellings.filter(|spelling| !spelling.trim().is_empty()));
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({} values)", self.hidden.len())
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

fn without(text: &str, value: &str) -> String {
    if value.chars().nth(WORD_CHARS - 1).is_some() {
        return text.replace(value, REDACTED);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, found) = rest.split_at(at);
        let (found, after) = found.split_at(value.len());
        kept.push_str(before);
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_word = !touches(kept.chars().next_back()) && !touches(after.chars().next());
        kept.push_str(if is_word { REDACTED } else { found });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

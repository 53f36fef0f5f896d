//! The errors of one input, reported together, and their wording.
//!
//! Nothing here returns early: a reader of attributes records an error and goes on, so that one run
//! of the compiler shows every mistake. [`collect`] is the only way to get a [`Diagnostics`] and
//! inspects it afterwards, so no recorded error is lost.

use std::fmt::Display;

use proc_macro2::Span;
use syn::Error;

/// Runs a reader and returns its result with all recorded errors.
pub(crate) fn collect<T>(read: impl FnOnce(&mut Diagnostics) -> T) -> (T, Result<(), Error>) {
    let mut diag = Diagnostics {
        errors: None,
        recorded: 0,
        attempted: Vec::new(),
    };
    let source = read(&mut diag);
    (source, diag.errors.map_or(Ok(()), Err))
}

/// The error for input that should have broken a rule.
pub(crate) fn bug() -> Error {
    Error::new(
        Span::call_site(),
        "this input was refused without an error message; this is a bug in outbox-macros, please report it",
    )
}

/// The errors of one input.
pub(crate) struct Diagnostics {
    errors: Option<Error>,
    recorded: usize,
    /// Keys that were attempted with a mistake.
    attempted: Vec<String>,
}

impl Diagnostics {
    /// Records an error.
    pub(crate) fn push(&mut self, error: Error) {
        self.recorded += 1;
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }

    /// Records an error at a span.
    pub(crate) fn error(&mut self, span: Span, message: impl Display) {
        self.push(Error::new(span, message));
    }

    /// Records an error whose last line reads like the compiler's own help.
    pub(crate) fn error_with_help(
        &mut self,
        span: Span,
        message: impl Display,
        help: impl Display,
    ) {
        self.error(span, format_args!("{message}\n= help: {help}"));
    }

    /// Records a duplicate, pointing at both places.
    pub(crate) fn duplicate(&mut self, span: Span, first: Span, message: impl Display) {
        self.error(span, message);
        self.error(first, "first one here");
    }

    /// The number of recorded errors; an increase after a read means that there was a mistake in
    /// it.
    pub(crate) fn recorded(&self) -> usize {
        self.recorded
    }

    /// Marks `key` as attempted, so that it is not reported as missing as well.
    pub(crate) fn attempted(&mut self, key: &str) {
        self.attempted.push(key.to_owned());
    }

    /// Whether a mistake about `key` was already reported.
    pub(crate) fn is_attempted(&self, key: &str) -> bool {
        self.attempted.iter().any(|attempt| attempt == key)
    }

    /// Records that `key` is missing, unless a mistake about it was already reported.
    pub(crate) fn missing(
        &mut self,
        key: &str,
        span: Span,
        message: impl Display,
        help: impl Display,
    ) {
        if !self.is_attempted(key) {
            self.error_with_help(span, message, help);
        }
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The candidate that `word` most likely misspells.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // Allow one typo in a short word, two or three in a long one.
    let tolerance = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to add, remove or replace to turn `a` into `b`.
///
/// Row by row: `row` holds the distances of every prefix of `b` to the part of `a` read so far.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (read, letter) in a.chars().enumerate() {
        let mut diagonal = read;
        let mut left = read + 1;
        let mut next = vec![left];
        for (other, above) in b.chars().zip(row.iter().skip(1)) {
            left = (left + 1)
                .min(above + 1)
                .min(diagonal + usize::from(letter != other));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let keys = ["event_type", "priority", "retry"];
        assert_eq!(did_you_mean("event_typ", &keys), Some("event_type"));
        assert_eq!(did_you_mean("eventtype", &keys), Some("event_type"));
        assert_eq!(did_you_mean("prioritiy", &keys), Some("priority"));
        assert_eq!(did_you_mean("colour", &keys), None);
    }

    #[test]
    fn a_distance_counts_additions_removals_and_replacements() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn what_was_attempted_is_not_missing() {
        let ((), errors) = collect(|diag| {
            diag.attempted("event_type");
            diag.missing("event_type", Span::call_site(), "no event type", "add one");
            diag.missing("user_id", Span::call_site(), "no user", "add one");
        });
        assert_eq!(errors.unwrap_err().into_iter().count(), 1);
    }
}

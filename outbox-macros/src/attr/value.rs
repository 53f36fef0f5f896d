//! The values of keys: each function reads one, or says what to write instead.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{
    Error, Ident, LitInt, LitStr, Path, Result, Token, TypePath, bracketed, parenthesized, token,
};

use super::{Key, duration};
use crate::diag::{did_you_mean, list};

/// A known value, or the path of a constant that only the compiler can evaluate.
#[derive(Clone)]
pub(crate) enum Constant<T> {
    Known(T),
    /// `names::MOOD`, `<Mood as Named>::NAME`.
    Path(Box<TypePath>),
}

/// The delays between attempts: a list, or a constant that is one.
pub(crate) type Delays = Constant<Vec<Constant<Duration>>>;

/// One of a few words, with its variant of the runtime's enum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    word: &'static str,
    pub(crate) variant: &'static str,
}

pub(super) const fn choice(word: &'static str, variant: &'static str) -> Choice {
    Choice { word, variant }
}

const ORDERS: [Choice; 3] = [
    choice("entity", "Entity"),
    choice("user", "User"),
    choice("none", "None"),
];
const ON_DEAD: [Choice; 2] = [choice("hold", "Hold"), choice("skip", "Skip")];
const CHARGES: [Choice; 2] = [choice("evidence", "Evidence"), choice("always", "Always")];
const COALESCE: [Choice; 1] = [choice("latest", "Latest")];
const ON_EXPIRY: [Choice; 2] = [choice("dead", "Dead"), choice("drop", "Drop")];
const BATCH_ORDERS: [Choice; 2] = [choice("first", "First"), choice("keep", "Keep")];
const SCOPES: [Choice; 2] = [choice("user", "User"), choice("destination", "Destination")];

impl<T> Constant<T> {
    pub(crate) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Path(_) => None,
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Constant<U> {
        match self {
            Self::Known(value) => Constant::Known(change(value)),
            Self::Path(path) => Constant::Path(path),
        }
    }
}

impl Choice {
    pub(crate) fn is(&self, word: &str) -> bool {
        self.word == word
    }

    pub(super) fn word(&self) -> &'static str {
        self.word
    }
}

/// `snapshot`: a key without a value.
pub(super) fn flag(key: &Key, input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(key.error("takes no value"))
}

/// The stored name of the type: non-empty, printable, and within the size limit.
///
/// The runtime's `EntityOptions` applies the same rules to constants.
pub(super) fn event_type(key: &Key, input: ParseStream<'_>) -> Result<Constant<String>> {
    text(key, input, "\"moodEntry\"", event_type_fault)
}

/// The reason why a non-empty string is no event type.
pub(super) fn event_type_fault(name: &str) -> Option<String> {
    match name {
        "generic" => Some("`generic` is a reserved event type".to_owned()),
        _ => column_fault("event type", name),
    }
}

/// The name of a struct.
pub(super) fn type_name(key: &Key, input: ParseStream<'_>) -> Result<Ident> {
    let kind = "the name of the generated struct here (without a value it belongs on a field)";
    let literal = value(key, input, kind, "\"MoodChange\"", |input| {
        input.parse::<LitStr>()
    })?;
    literal.parse::<Ident>().map_err(|_| {
        let message = format!("{:?} is not a valid struct name", literal.value());
        Error::new(literal.span(), message)
    })
}

/// The type of another entity.
pub(super) fn entity_type(key: &Key, input: ParseStream<'_>) -> Result<TypePath> {
    value(
        key,
        input,
        "the type of another entity",
        "Journal",
        Parse::parse,
    )
}

/// The reason why a column cannot store a non-empty string.
pub(super) fn column_fault(what: &str, text: &str) -> Option<String> {
    /// The runtime's `NewEvent::MAX_KEY_BYTES`.
    const MAX_BYTES: usize = 255;
    match text.len() {
        bytes if bytes > MAX_BYTES => Some(format!(
            "this {what} has {bytes} bytes; the limit is {MAX_BYTES}"
        )),
        _ if text.chars().any(char::is_control) => {
            Some(format!("this {what} has a control character"))
        }
        _ => None,
    }
}

/// Any name.
pub(super) fn display_name(key: &Key, input: ParseStream<'_>) -> Result<Constant<String>> {
    text(key, input, "\"Mood Entry\"", |_| None)
}

/// A whole number with an optional sign.
pub(super) fn priority(key: &Key, input: ParseStream<'_>) -> Result<Constant<i32>> {
    constant(key, input, "a whole number", "5", |input| {
        let sign = input.parse::<Option<Token![-]>>()?;
        let literal: LitInt = input.parse()?;
        let sign = if sign.is_some() { "-" } else { "" };
        let number = format!("{sign}{}", literal.base10_digits()).parse();
        Ok(number.map_err(|_| {
            let (min, max) = (i32::MIN, i32::MAX);
            let message = format!("a priority must be a whole number from {min} to {max}");
            Error::new(literal.span(), message)
        }))
    })
}

/// A whole number from 1.
pub(super) fn max_attempts(key: &Key, input: ParseStream<'_>) -> Result<Constant<u32>> {
    at_least_one(key, input, "5", "an event needs at least 1 attempt")
}

/// A whole number from 1.
pub(super) fn max_snoozes(key: &Key, input: ParseStream<'_>) -> Result<Constant<u32>> {
    let fault = "`max_snoozes` must be at least 1";
    at_least_one(key, input, "20", fault)
}

/// The maximum number of events of a batch: a whole number from 1.
pub(super) fn batch(key: &Key, input: ParseStream<'_>) -> Result<Constant<usize>> {
    /// The runtime's `Batching::MOST_EVENTS`.
    const MOST: u32 = 10_000;
    let count = from_one_to(key, input, MOST, "100", "a batch needs at least 1 event")?;
    Ok(count.map(|count| count as usize))
}

/// The maximum size of a batch in bytes: a whole number from 1.
pub(super) fn batch_bytes(key: &Key, input: ParseStream<'_>) -> Result<Constant<usize>> {
    let none = "a batch needs at least 1 byte";
    let count = from_one_to(key, input, u32::MAX, "65_536", none)?;
    Ok(count.map(|count| count as usize))
}

/// How long a batch waits for more events.
pub(super) fn within(key: &Key, input: ParseStream<'_>) -> Result<Constant<Duration>> {
    /// The runtime's `Batching::LONGEST_WAIT`.
    const LONGEST: Duration = Duration::from_secs(60);
    let fault = "a batch that does not wait needs no `within`";
    let span = input.fork();
    let waits = longer_than_zero(key, input, "\"2s\"", fault)?;
    match waits.known() {
        Some(known) if *known > LONGEST => {
            // The value stands after the `=`.
            span.parse::<Token![=]>()?;
            Err(span.error("a batch waits for at most 60 s, as its events are claimed meanwhile"))
        }
        _ => Ok(waits),
    }
}

fn at_least_one(
    key: &Key,
    input: ParseStream<'_>,
    example: &str,
    none: &str,
) -> Result<Constant<u32>> {
    from_one_to(key, input, u32::MAX, example, none)
}

fn from_one_to(
    key: &Key,
    input: ParseStream<'_>,
    most: u32,
    example: &str,
    none: &str,
) -> Result<Constant<u32>> {
    constant(key, input, "a whole number", example, |input| {
        let literal: LitInt = input.parse()?;
        let fault = match literal.base10_parse() {
            Ok(count) if (1..=most).contains(&count) => return Ok(Ok(count)),
            Ok(0) => none.to_owned(),
            Err(_) if literal.base10_digits().starts_with('-') => none.to_owned(),
            Ok(_) | Err(_) => format!("`{}` must be at most {most}", key.name),
        };
        Ok(Err(Error::new(literal.span(), fault)))
    })
}

/// The failures that count against an event.
pub(super) fn charge(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &CHARGES)
}

/// The timeout of an attempt.
pub(super) fn timeout(key: &Key, input: ParseStream<'_>) -> Result<Constant<Duration>> {
    let fault = "a timeout must be longer than zero";
    longer_than_zero(key, input, "\"30s\"", fault)
}

/// The duration of a lease.
pub(super) fn lease(key: &Key, input: ParseStream<'_>) -> Result<Constant<Duration>> {
    let fault = "a lease must be longer than zero";
    longer_than_zero(key, input, "\"2m\"", fault)
}

/// A list of at least one duration; all its errors are reported together.
pub(super) fn retry(key: &Key, input: ParseStream<'_>) -> Result<Delays> {
    let example = "[\"1s\", \"5s\", \"2m\"]";
    constant(key, input, "a list of durations", example, |input| {
        let content;
        let list: token::Bracket = bracketed!(content in input);
        let delays = content.parse_terminated(delay, Token![,])?;
        if delays.is_empty() {
            let message = format!("`retry` needs at least one delay: `retry = {example}`");
            return Ok(Err(Error::new(list.span.join(), message)));
        }
        let mut known = Vec::new();
        let mut faults: Option<Error> = None;
        for delay in delays {
            match (delay, &mut faults) {
                (Ok(delay), _) => known.push(delay),
                (Err(error), Some(faults)) => faults.combine(error),
                (Err(error), None) => faults = Some(error),
            }
        }
        Ok(faults.map_or(Ok(known), Err))
    })
}

/// The events that wait for each other.
pub(super) fn order(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &ORDERS)
}

/// The effect of a dead letter on its successors.
pub(super) fn on_dead(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &ON_DEAD)
}

/// Whether a newer event replaces an older one.
pub(super) fn coalesce(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &COALESCE)
}

/// The time after which an event is not sent any more.
pub(super) fn expires_after(key: &Key, input: ParseStream<'_>) -> Result<Constant<Duration>> {
    let fault = "`expires_after` must be longer than zero";
    longer_than_zero(key, input, "\"7d\"", fault)
}

/// The end of an event that expired.
pub(super) fn on_expiry(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &ON_EXPIRY)
}

/// Which events of a lane come in one batch.
pub(super) fn batch_order(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &BATCH_ORDERS)
}

/// The scope of an answer.
pub(super) fn scope(key: &Key, input: ParseStream<'_>) -> Result<Constant<Choice>> {
    one_of(key, input, &SCOPES)
}

/// A path that resolves alike wherever the generated code stands.
pub(super) fn crate_path(key: &Key, input: ParseStream<'_>) -> Result<Path> {
    let path = value(
        key,
        input,
        "a path without quotes",
        "::outbox_runtime",
        Path::parse_mod_style,
    )?;
    let starts_at_crate = |first: &Ident| first == "crate" || first == "$crate";
    let is_absolute = path.leading_colon.is_some()
        || path
            .segments
            .first()
            .is_some_and(|first| starts_at_crate(&first.ident));
    if is_absolute {
        return Ok(path);
    }
    let written: Vec<String> = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    let written = written.join("::");
    Err(Error::new_spanned(
        path,
        format!(
            "a relative path resolves differently in the generated code\n\
             = help: write `crate = ::{written}` for a dependency, `crate = crate::{written}` for a module"
        ),
    ))
}

/// The `=` and the value of a key. `kind` and `example` describe the value.
pub(super) fn value<T>(
    key: &Key,
    input: ParseStream<'_>,
    kind: &str,
    example: &str,
    read: impl FnOnce(ParseStream<'_>) -> Result<T>,
) -> Result<T> {
    let takes = format!("takes {kind}: `{} = {example}`", key.name);
    if !input.peek(Token![=]) {
        return Err(key.error(&takes));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(key.error(&takes));
    }
    let span = input.span();
    read(input).map_err(|_| Error::new(span, format!("`{}` {takes}", key.name)))
}

/// A value, or the path of a constant. A parse error of `read` means the wrong kind of value; the
/// inner error is about a value of the right kind.
pub(super) fn constant<T>(
    key: &Key,
    input: ParseStream<'_>,
    kind: &str,
    example: &str,
    read: impl FnOnce(ParseStream<'_>) -> Result<Result<T>>,
) -> Result<Constant<T>> {
    let kind = format!("{kind} or a constant");
    value(key, input, &kind, example, |input| {
        match names_constant(input) {
            true => input.parse().map(|path| Ok(Constant::Path(Box::new(path)))),
            false => read(input).map(|known| known.map(Constant::Known)),
        }
    })?
}

/// Whether a path of a constant follows. A single lowercase word more likely lacks its quotes.
pub(super) fn names_constant(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.parse::<TypePath>().is_ok_and(|path| {
        let word = path.path.get_ident().map(|word| word.unraw().to_string());
        word.is_none_or(|word| !word.contains(char::is_lowercase))
    })
}

fn text(
    key: &Key,
    input: ParseStream<'_>,
    example: &str,
    fault: impl FnOnce(&str) -> Option<String>,
) -> Result<Constant<String>> {
    constant(key, input, "a string", example, |input| {
        let literal: LitStr = input.parse()?;
        let text = literal.value();
        let fault = match text.is_empty() {
            true => Some(format!("`{}` is empty", key.name)),
            false => fault(&text),
        };
        Ok(fault.map_or(Ok(text), |fault| Err(Error::new(literal.span(), fault))))
    })
}

fn one_of(key: &Key, input: ParseStream<'_>, choices: &[Choice]) -> Result<Constant<Choice>> {
    let words: Vec<&str> = choices.iter().map(|choice| choice.word).collect();
    let example = words.first().map(|word| format!("\"{word}\""));
    let example = example.unwrap_or_default();
    constant(key, input, "a string", &example, |input| {
        let literal: LitStr = input.parse()?;
        let written = literal.value();
        let chosen = choices.iter().find(|choice| choice.is(&written));
        Ok(chosen.copied().ok_or_else(|| {
            let help = match (did_you_mean(&written, &words), words.as_slice()) {
                (Some(meant), _) => format!("did you mean `\"{meant}\"`?"),
                (None, [only]) => {
                    format!("the only value is `\"{only}\"`; omit the key to turn it off")
                }
                (None, words) => format!("choose from {}", list(words)),
            };
            let message = format!("`{}` cannot be {written:?}\n= help: {help}", key.name);
            Error::new(literal.span(), message)
        }))
    })
}

fn longer_than_zero(
    key: &Key,
    input: ParseStream<'_>,
    example: &str,
    fault: &str,
) -> Result<Constant<Duration>> {
    constant(key, input, "a duration", example, |input| {
        let literal: LitStr = input.parse()?;
        Ok(match duration_of(&literal) {
            Ok(known) if known.is_zero() => Err(Error::new(literal.span(), fault)),
            known => known,
        })
    })
}

/// One delay of a list.
fn delay(input: ParseStream<'_>) -> Result<Result<Constant<Duration>>> {
    if names_constant(input) {
        return input.parse().map(|path| Ok(Constant::Path(Box::new(path))));
    }
    let literal: LitStr = input.parse()?;
    Ok(duration_of(&literal).map(Constant::Known))
}

/// A whole number and a unit.
fn duration_of(literal: &LitStr) -> Result<Duration> {
    let text = literal.value();
    duration::parse(&text).ok_or_else(|| {
        let message = format!(
            "{text:?} is not a duration: write a whole number and `ms`, `s`, `m`, `h` or `d`, such as \"30s\""
        );
        Error::new(literal.span(), message)
    })
}

/// A list in parentheses of at least one element. `takes` is the error of anything else.
pub(super) fn in_parentheses<T: Parse>(
    key: &Key,
    input: ParseStream<'_>,
    takes: fn(Span) -> Error,
) -> Result<Vec<T>> {
    if !input.peek(token::Paren) {
        return Err(takes(key.ident.span()));
    }
    let content;
    parenthesized!(content in input);
    if content.is_empty() {
        return Err(takes(key.ident.span()));
    }
    let elements = content.parse_terminated(T::parse, Token![,]);
    // The rest after a mistake would cause another error.
    content.parse::<TokenStream>()?;
    elements.map(|elements| elements.into_iter().collect())
}

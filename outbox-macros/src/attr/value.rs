//! What each key takes: the functions read a value and say what to write where they cannot.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{
    Error, Ident, LitInt, LitStr, Member, Path, Result, Token, bracketed, parenthesized, token,
};

use super::Key;
use crate::diag::did_you_mean;

/// `snapshot`: a key without a value.
pub(super) fn flag(key: &Key, input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(key.error("takes no value"))
}

/// The name of the type in rows: non-empty, at most as long as a row has room for, and printable.
pub(super) fn event_type(key: &Key, input: ParseStream<'_>) -> Result<String> {
    /// What a row has room for; the runtime's `NewEvent::MAX_KEY_BYTES`.
    const MAX_BYTES: usize = 255;
    let literal = text(key, input, "\"moodEntry\"")?;
    let name = literal.value();
    let fault = match name.len() {
        bytes if bytes > MAX_BYTES => format!("has {bytes} bytes, more than {MAX_BYTES}"),
        _ if name.chars().any(char::is_control) => "has a control character".to_owned(),
        _ if name == "generic" => "is the tag of metadata whose type is in no set".to_owned(),
        _ => return Ok(name),
    };
    Err(Error::new(
        literal.span(),
        format!("this event type {fault}"),
    ))
}

/// Any name.
pub(super) fn display_name(key: &Key, input: ParseStream<'_>) -> Result<String> {
    text(key, input, "\"Mood Entry\"").map(|literal| literal.value())
}

/// A whole number with an optional sign.
pub(super) fn priority(key: &Key, input: ParseStream<'_>) -> Result<i32> {
    let (sign, literal) = value(key, input, "a whole number", "5", |input| {
        let sign = input.parse::<Option<Token![-]>>()?;
        Ok((sign, input.parse::<LitInt>()?))
    })?;
    let sign = if sign.is_some() { "-" } else { "" };
    format!("{sign}{}", literal.base10_digits())
        .parse()
        .map_err(|_| {
            let (min, max) = (i32::MIN, i32::MAX);
            let message = format!("a priority is a whole number from {min} to {max}");
            Error::new(literal.span(), message)
        })
}

/// A whole number from 1.
pub(super) fn max_attempts(key: &Key, input: ParseStream<'_>) -> Result<u32> {
    let literal: LitInt = value(key, input, "a whole number", "5", Parse::parse)?;
    let fault = match literal.base10_parse() {
        Ok(attempts) if attempts > 0 => return Ok(attempts),
        Err(_) if !literal.base10_digits().starts_with('-') => {
            format!("`max_attempts` is at most {}", u32::MAX)
        }
        Ok(_) | Err(_) => "an event needs at least 1 attempt".to_owned(),
    };
    Err(Error::new(literal.span(), fault))
}

/// A duration that is not zero.
pub(super) fn timeout(key: &Key, input: ParseStream<'_>) -> Result<Duration> {
    let literal: LitStr = value(key, input, "a duration", "\"30s\"", Parse::parse)?;
    let timeout = duration(&literal)?;
    if timeout.is_zero() {
        return Err(Error::new(
            literal.span(),
            "a timeout is longer than zero: nothing can be delivered in no time",
        ));
    }
    Ok(timeout)
}

/// A list of at least one duration; what is wrong with each is told at once.
pub(super) fn retry(key: &Key, input: ParseStream<'_>) -> Result<Vec<Duration>> {
    let example = "[\"1s\", \"5s\", \"2m\"]";
    let (list, literals) = value(key, input, "a list of durations", example, |input| {
        let content;
        let list: token::Bracket = bracketed!(content in input);
        let literals = content.parse_terminated(<LitStr as Parse>::parse, Token![,])?;
        Ok((list, literals))
    })?;
    if literals.is_empty() {
        let message = format!("`retry` needs at least one delay: `retry = {example}`");
        return Err(Error::new(list.span.join(), message));
    }
    let mut delays = Vec::new();
    let mut faults: Option<Error> = None;
    for delay in literals.iter().map(duration) {
        match (delay, &mut faults) {
            (Ok(delay), _) => delays.push(delay),
            (Err(error), Some(faults)) => faults.combine(error),
            (Err(error), None) => faults = Some(error),
        }
    }
    faults.map_or(Ok(delays), Err)
}

/// `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"7d"`.
fn duration(literal: &LitStr) -> Result<Duration> {
    let text = literal.value();
    let unit_at = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_of = |unit| number.parse::<u64>().ok()?.checked_mul(unit);
    let duration = match unit {
        "ms" => number.parse().ok().map(Duration::from_millis),
        "s" => seconds_of(1).map(Duration::from_secs),
        "m" => seconds_of(60).map(Duration::from_secs),
        "h" => seconds_of(60 * 60).map(Duration::from_secs),
        "d" => seconds_of(24 * 60 * 60).map(Duration::from_secs),
        _ => None,
    };
    duration.ok_or_else(|| {
        let message = format!(
            "{text:?} is not a duration: write a whole number and `ms`, `s`, `m`, `h` or `d`, such as \"30s\""
        );
        Error::new(literal.span(), message)
    })
}

/// A path that means the same wherever the generated code stands.
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
            "a relative path would mean something else in the generated code\n\
             = help: write `crate = ::{written}` for a dependency, `crate = crate::{written}` for a module"
        ),
    ))
}

/// The `=` between a key and its value. `kind` and `example` say what to write.
fn value<T>(
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

fn text(key: &Key, input: ParseStream<'_>, example: &str) -> Result<LitStr> {
    let text: LitStr = value(key, input, "a string", example, Parse::parse)?;
    if text.value().is_empty() {
        return Err(Error::new(text.span(), format!("`{}` is empty", key.name)));
    }
    Ok(text)
}

/// `retry` or `retry(after = wait)`.
pub(super) fn optional_after(key: &Key, input: ParseStream<'_>) -> Result<Option<Member>> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(None);
    }
    after(key, input).map(Some)
}

/// `(after = wait)`: the field that says for how long.
pub(super) fn after(key: &Key, input: ParseStream<'_>) -> Result<Member> {
    if !input.peek(token::Paren) {
        return Err(key.error(&takes_after(key)));
    }
    let content;
    parenthesized!(content in input);
    let field = match content.is_empty() {
        true => Err(key.error(&takes_after(key))),
        false => after_in_parentheses(key, &content),
    };
    // What a mistake left unread would be one more error.
    content.parse::<TokenStream>()?;
    field
}

fn after_in_parentheses(key: &Key, content: ParseStream<'_>) -> Result<Member> {
    let name = &key.name;
    let word = content
        .call(Ident::parse_any)
        .map_err(|error| Error::new(error.span(), format!("`{name}` {}", takes_after(key))))?;
    if word != "after" {
        let help = match did_you_mean(&word.to_string(), &["after"]) {
            Some(_) => "did you mean `after`?".to_owned(),
            None => format!("`{name}` {}", takes_after(key)),
        };
        let message = format!("unknown key `{word}` of `{name}`\n= help: {help}");
        return Err(Error::new(word.span(), message));
    }
    let takes = format!("`after` takes the name of a field: `{name}(after = wait)`");
    if !content.peek(Token![=]) {
        return Err(Error::new(word.span(), takes));
    }
    content.parse::<Token![=]>()?;
    let span = match content.is_empty() {
        true => word.span(),
        false => content.span(),
    };
    let field = content
        .parse::<Member>()
        .map_err(|_| Error::new(span, takes))?;
    content.parse::<Option<Token![,]>>()?;
    match content.is_empty() {
        true => Ok(field),
        false => Err(content.error(format_args!("`{name}` takes nothing but `after`"))),
    }
}

fn takes_after(key: &Key) -> String {
    let name = &key.name;
    format!("takes the field that says for how long: `{name}(after = wait)`")
}

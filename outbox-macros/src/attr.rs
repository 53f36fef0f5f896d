//! The grammar of `#[outbox(..)]`: the only file that parses.
//!
//! No function returns early on a mistake: it is recorded, the rest of that key is skipped, and reading goes on with
//! the next key. What a key's value must be on its own is checked here; what keys have to do with each other, in
//! [`check`](crate::check).

use std::time::Duration;

use proc_macro2::{Span, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, DeriveInput, Error, Field, Ident, LitInt, LitStr, Meta, Path, Result, Token,
    bracketed, token,
};

use crate::check;
use crate::diag::{Diagnostics, did_you_mean, list};

/// A value, and the key it was given under, to point at.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
}

/// What `#[outbox(..)]` on a struct says.
#[derive(Default)]
pub(crate) struct EntityAttrs {
    pub(crate) event_type: Option<Keyed<String>>,
    pub(crate) priority: Option<Keyed<i32>>,
    pub(crate) display_name: Option<Keyed<String>>,
    pub(crate) max_attempts: Option<Keyed<u32>>,
    pub(crate) retry: Option<Keyed<Vec<Duration>>>,
    pub(crate) timeout: Option<Keyed<Duration>>,
    pub(crate) snapshot: Option<Keyed<()>>,
    pub(crate) krate: Option<Keyed<Path>>,
}

/// What `#[outbox(..)]` on a field says.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) entity_id: Option<Keyed<()>>,
    pub(crate) user_id: Option<Keyed<()>>,
    pub(crate) metadata: Option<Keyed<()>>,
}

/// What `#[outbox(..)]` on an enum of events says.
#[derive(Default)]
pub(crate) struct EventsAttrs {
    pub(crate) krate: Option<Keyed<Path>>,
}

/// A struct with everything that is written on it, right or wrong.
pub(crate) struct EntitySource<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) attrs: EntityAttrs,
    pub(crate) fields: Vec<FieldSource<'a>>,
}

/// A named field with everything that is written on it.
pub(crate) struct FieldSource<'a> {
    pub(crate) field: &'a Field,
    pub(crate) ident: &'a Ident,
    pub(crate) attrs: FieldAttrs,
}

impl<'a> EntitySource<'a> {
    /// Reads a struct. Anything else is recorded, and read as a struct without fields.
    pub(crate) fn read(input: &'a DeriveInput, diag: &mut Diagnostics) -> Self {
        let attrs = EntityAttrs::read(&input.attrs, diag);
        let fields = check::named_fields(input, diag)
            .into_iter()
            .flat_map(|fields| &fields.named)
            .filter_map(|field| FieldSource::read(field, diag))
            .collect();
        Self {
            input,
            attrs,
            fields,
        }
    }
}

impl<'a> FieldSource<'a> {
    fn read(field: &'a Field, diag: &mut Diagnostics) -> Option<Self> {
        Some(Self {
            field,
            ident: field.ident.as_ref()?,
            attrs: FieldAttrs::read(&field.attrs, diag),
        })
    }
}

impl EntityAttrs {
    fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Struct, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(event_type = "moodEntry")]
                "event_type" => key.set(&mut read.event_type, diag, |key| event_type(key, input)),
                // #[outbox(priority = -5)]
                "priority" => key.set(&mut read.priority, diag, |key| priority(key, input)),
                // #[outbox(display_name = "Mood Entry")]
                "display_name" => {
                    key.set(&mut read.display_name, diag, |key| display_name(key, input));
                }
                // #[outbox(max_attempts = 5)]
                "max_attempts" => {
                    key.set(&mut read.max_attempts, diag, |key| max_attempts(key, input));
                }
                // #[outbox(retry = ["1s", "5s", "2m"])]
                "retry" => key.set(&mut read.retry, diag, |key| retry(key, input)),
                // #[outbox(timeout = "30s")]
                "timeout" => key.set(&mut read.timeout, diag, |key| timeout(key, input)),
                // #[outbox(snapshot)]
                "snapshot" => key.set(&mut read.snapshot, diag, |key| flag(key, input)),
                // #[outbox(crate = ::outbox_runtime)]
                "crate" => key.set(&mut read.krate, diag, |key| crate_path(key, input)),
                _ => return false,
            }
            true
        });
        read
    }
}

impl FieldAttrs {
    fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Field, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(entity_id)]
                "entity_id" => key.set(&mut read.entity_id, diag, |key| flag(key, input)),
                // #[outbox(user_id)]
                "user_id" => key.set(&mut read.user_id, diag, |key| flag(key, input)),
                // #[outbox(metadata)]
                "metadata" => key.set(&mut read.metadata, diag, |key| flag(key, input)),
                _ => return false,
            }
            true
        });
        read
    }
}

impl EventsAttrs {
    /// Reads what is written on an enum of events.
    pub(crate) fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Enum, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(crate = ::outbox_runtime)]
                "crate" => key.set(&mut read.krate, diag, |key| crate_path(key, input)),
                _ => return false,
            }
            true
        });
        read
    }
}

/// Whether an attribute is ours.
pub(crate) fn is_outbox(attr: &Attribute) -> bool {
    attr.path().is_ident("outbox")
}

/// The `rename_all` of a struct's `#[serde(..)]`, which its metadata follows.
///
/// Anything that serde would not understand is left to serde to report.
pub(crate) fn serde_rename_all(attrs: &[Attribute]) -> Option<Meta> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("serde"))
        .filter_map(|attr| match &attr.meta {
            Meta::List(list) => Some(list.tokens.clone()),
            Meta::Path(_) | Meta::NameValue(_) => None,
        })
        .filter_map(|tokens| {
            Punctuated::<Meta, Token![,]>::parse_terminated
                .parse2(tokens)
                .ok()
        })
        .flatten()
        .find(|meta| meta.path().is_ident("rename_all"))
}

/// Where an attribute stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Struct,
    Field,
    Enum,
}

const STRUCT_KEYS: [&str; 8] = [
    "event_type",
    "priority",
    "display_name",
    "max_attempts",
    "retry",
    "timeout",
    "snapshot",
    "crate",
];
const FIELD_KEYS: [&str; 3] = ["entity_id", "user_id", "metadata"];
const ENUM_KEYS: [&str; 1] = ["crate"];

/// Keys that later versions will know, so that nobody is sent looking for a spelling mistake.
const LATER_KEYS: [&str; 6] = [
    "order",
    "on_dead",
    "coalesce",
    "lease",
    "version",
    "sensitive",
];

impl Level {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Struct => &STRUCT_KEYS,
            Self::Field => &FIELD_KEYS,
            Self::Enum => &ENUM_KEYS,
        }
    }

    /// The level on which `key` would have been right.
    fn that_knows(key: &str) -> Option<Self> {
        [Self::Struct, Self::Field]
            .into_iter()
            .find(|level| level.keys().contains(&key))
    }

    fn place(self) -> &'static str {
        match self {
            Self::Struct => "the struct",
            Self::Field => "a field",
            Self::Enum => "the enum of events",
        }
    }
}

/// A key that is being read.
struct Key {
    ident: Ident,
    name: String,
}

impl Key {
    /// Stores the value, unless there is one already or it cannot be read.
    fn set<T>(
        self,
        slot: &mut Option<Keyed<T>>,
        diag: &mut Diagnostics,
        read: impl FnOnce(&Self) -> Result<T>,
    ) {
        match (read(&self), slot) {
            (Err(error), _) => {
                diag.attempted(&self.name);
                diag.push(error);
            }
            (Ok(_), Some(first)) => diag.duplicate(
                self.ident.span(),
                first.key.span(),
                format_args!("`{}` is given twice", self.name),
            ),
            (Ok(value), slot) => {
                *slot = Some(Keyed {
                    key: self.ident,
                    value,
                });
            }
        }
    }

    fn error(&self, message: &str) -> Error {
        Error::new(self.ident.span(), format!("`{}` {message}", self.name))
    }
}

/// Reads the keys of every `#[outbox(..)]` in `attrs`. `known` answers whether it knows a key, and reads its value.
fn each_key(
    attrs: &[Attribute],
    level: Level,
    diag: &mut Diagnostics,
    mut known: impl FnMut(Key, ParseStream<'_>, &mut Diagnostics) -> bool,
) {
    for attr in attrs.iter().filter(|attr| is_outbox(attr)) {
        let read = attr.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                one_key(input, level, diag, &mut known);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            level.keys().iter().for_each(|key| diag.attempted(key));
            diag.push(error);
        }
    }
}

/// Reads one key and its value, and stops before the comma after it whatever was found.
fn one_key(
    input: ParseStream<'_>,
    level: Level,
    diag: &mut Diagnostics,
    known: &mut impl FnMut(Key, ParseStream<'_>, &mut Diagnostics) -> bool,
) {
    match input.call(Ident::parse_any) {
        Ok(ident) => {
            let name = ident.unraw().to_string();
            let span = ident.span();
            let key = Key {
                ident,
                name: name.clone(),
            };
            if !known(key, input, diag) {
                unknown(&name, span, level, diag);
            } else if !input.is_empty() && !input.peek(Token![,]) && !diag.is_attempted(&name) {
                diag.error(input.span(), format_args!("expected `,` after `{name}`"));
            }
        }
        Err(error) => {
            // It may be the value of any key whose name was forgotten.
            level.keys().iter().for_each(|key| diag.attempted(key));
            let help = format!("{} takes {}", level.place(), list(level.keys()));
            diag.error_with_help(error.span(), "expected a key", help);
        }
    }
    while !input.is_empty() && !input.peek(Token![,]) {
        // Any token tree parses; an error would mean the end, which the condition sees.
        if input.parse::<TokenTree>().is_err() {
            break;
        }
    }
}

/// Says about a key that is not known here where it belongs, or what it was meant to be.
fn unknown(name: &str, span: Span, level: Level, diag: &mut Diagnostics) {
    if let Some(right) = Level::that_knows(name) {
        diag.attempted(name);
        let (right, wrong) = (right.place(), level.place());
        diag.error(
            span,
            format_args!("`{name}` belongs on {right}, not on {wrong}"),
        );
    } else if LATER_KEYS.contains(&name) {
        diag.error(span, format_args!("`{name}` is not supported yet"));
    } else if let Some(meant) = did_you_mean(name, level.keys()) {
        diag.attempted(meant);
        let help = format_args!("did you mean `{meant}`?");
        diag.error_with_help(span, format_args!("unknown key `{name}`"), help);
    } else {
        let help = format!("{} takes {}", level.place(), list(level.keys()));
        diag.error_with_help(span, format_args!("unknown key `{name}`"), help);
    }
}

/// `snapshot`: a key without a value.
fn flag(key: &Key, input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(key.error("takes no value"))
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

fn event_type(key: &Key, input: ParseStream<'_>) -> Result<String> {
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

fn display_name(key: &Key, input: ParseStream<'_>) -> Result<String> {
    text(key, input, "\"Mood Entry\"").map(|literal| literal.value())
}

fn priority(key: &Key, input: ParseStream<'_>) -> Result<i32> {
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

fn max_attempts(key: &Key, input: ParseStream<'_>) -> Result<u32> {
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

fn timeout(key: &Key, input: ParseStream<'_>) -> Result<Duration> {
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

fn retry(key: &Key, input: ParseStream<'_>) -> Result<Vec<Duration>> {
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
fn crate_path(key: &Key, input: ParseStream<'_>) -> Result<Path> {
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

//! `(after = wait, scope = "user")`: the duration and the scope of an answer.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Member, Result, Token, parenthesized, token};

use super::value::{self, Choice, Constant};
use super::{Key, Keyed};
use crate::diag::{did_you_mean, list};

/// The contents of the parentheses of a class.
#[derive(Default)]
pub(crate) struct Details {
    /// The field with the duration.
    pub(crate) after: Option<Member>,
    /// The scope of the answer; the event's destination by default.
    pub(crate) about: Option<About>,
}

/// The scope of an answer.
pub(crate) enum About {
    /// `scope = "user"`.
    Scope(Constant<Choice>),
    /// `destination = host`: the field that names it.
    Destination(Member),
}

/// The keys that a class takes in parentheses.
pub(super) struct Takes {
    pub(super) after: After,
    /// `scope` or `destination`.
    pub(super) about: bool,
}

/// Whether a class takes a duration field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    No,
    Optional,
    Required,
}

impl Takes {
    fn keys(&self) -> &'static [&'static str] {
        match (self.after, self.about) {
            (After::No, _) => &["scope", "destination"],
            (_, false) => &["after"],
            (_, true) => &["after", "scope", "destination"],
        }
    }

    /// The error for empty or absent parentheses.
    fn missing(&self, key: &Key) -> String {
        let name = &key.name;
        match self.after {
            After::No => format!("takes a scope: `{name}(scope = \"user\")`"),
            After::Optional | After::Required => {
                format!("takes a field with the duration: `{name}(after = wait)`")
            }
        }
    }

    /// The end of a message about an unknown key.
    fn help(&self, key: &Key) -> String {
        let name = &key.name;
        match self.keys() {
            ["after"] => format!("`{name}` {}", self.missing(key)),
            keys => format!("`{name}` takes {}", list(keys)),
        }
    }
}

/// Reads the parentheses after a class, if there are any.
pub(super) fn details(key: &Key, input: ParseStream<'_>, takes: &Takes) -> Result<Details> {
    let is_bare = input.is_empty() || input.peek(Token![,]);
    if is_bare && takes.after != After::Required {
        return Ok(Details::default());
    }
    if !input.peek(token::Paren) {
        return Err(key.error(&takes.missing(key)));
    }
    let content;
    parenthesized!(content in input);
    let details = match content.is_empty() {
        true => Err(key.error(&takes.missing(key))),
        false => in_parentheses(key, &content, takes),
    };
    // The rest after a mistake would cause another error.
    content.parse::<TokenStream>()?;
    details
}

fn in_parentheses(key: &Key, content: ParseStream<'_>, takes: &Takes) -> Result<Details> {
    let mut after: Option<Keyed<Member>> = None;
    let mut about: Option<Keyed<About>> = None;
    loop {
        let inner = inner_key(key, content, takes, after.is_some() || about.is_some())?;
        match inner.name.as_str() {
            "after" => {
                let takes = format!(
                    "`after` takes the name of a field: `{}(after = wait)`",
                    key.name
                );
                let field = field(&inner, content, &takes)?;
                refuse_second(after.as_ref(), &inner)?;
                after = Some(inner.with(field));
            }
            "destination" => {
                let takes = format!(
                    "`destination` takes the name of a field: `{}(destination = host)`",
                    key.name
                );
                let field = field(&inner, content, &takes)?;
                refuse_second(about.as_ref(), &inner)?;
                about = Some(inner.with(About::Destination(field)));
            }
            _ => {
                let scope = value::scope(&inner, content)?;
                refuse_second(about.as_ref(), &inner)?;
                about = Some(inner.with(About::Scope(scope)));
            }
        }
        if content.is_empty() {
            break;
        }
        if !content.peek(Token![,]) {
            return Err(content.error(takes_only(key, takes)));
        }
        content.parse::<Token![,]>()?;
        if content.is_empty() {
            break;
        }
    }
    if after.is_none() && takes.after == After::Required {
        return Err(key.error(&takes.missing(key)));
    }
    Ok(Details {
        after: after.map(|after| after.value),
        about: about.map(|about| about.value),
    })
}

/// The next key in the parentheses, which the class knows.
fn inner_key(key: &Key, content: ParseStream<'_>, takes: &Takes, is_later: bool) -> Result<Key> {
    let name = &key.name;
    let ident = content.call(Ident::parse_any).map_err(|error| {
        let message = match is_later {
            true => takes_only(key, takes),
            false => takes.help(key),
        };
        Error::new(error.span(), message)
    })?;
    let word = ident.unraw().to_string();
    let keys = takes.keys();
    if keys.contains(&word.as_str()) {
        return Ok(Key { ident, name: word });
    }
    let help = match (did_you_mean(&word, keys), word.as_str()) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, "scope" | "destination") => format!(
            "only {} have a scope; `{name}` applies to the event alone",
            list(&["rate_limited", "unavailable", "offline"])
        ),
        (None, _) => takes.help(key),
    };
    let message = format!("unknown key `{word}` of `{name}`\n= help: {help}");
    Err(Error::new(ident.span(), message))
}

/// `= wait`: a field of the same variant.
fn field(key: &Key, content: ParseStream<'_>, takes: &str) -> Result<Member> {
    if !content.peek(Token![=]) {
        return Err(Error::new(key.ident.span(), takes));
    }
    content.parse::<Token![=]>()?;
    let span = match content.is_empty() {
        true => key.ident.span(),
        false => content.span(),
    };
    Member::parse(content).map_err(|_| Error::new(span, takes))
}

fn refuse_second<T>(first: Option<&Keyed<T>>, second: &Key) -> Result<()> {
    let Some(Keyed { key: first, .. }) = first else {
        return Ok(());
    };
    let message = match *first == second.ident {
        true => format!("`{first}` is given twice"),
        false => format!(
            "`{}` conflicts with `{first}`: an answer has one scope",
            second.name
        ),
    };
    let mut error = Error::new(second.ident.span(), message);
    error.combine(Error::new(first.span(), "first one here"));
    Err(error)
}

fn takes_only(key: &Key, takes: &Takes) -> String {
    format!("`{}` takes only {}", key.name, list(takes.keys()))
}

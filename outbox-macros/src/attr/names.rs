//! `alias = [..]` and `retired(..)`: the names of stored events that no new event gets.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, LitStr, Result, Token, bracketed, token};

use super::Key;
use super::value::{
    Choice, Constant, choice, constant, event_type_fault, in_parentheses, names_constant,
};
use crate::diag::{did_you_mean, list};

/// The older names of a type: a list, or a constant that is one.
pub(crate) type Aliases = Constant<Vec<Alias>>;

/// An older name of a type.
#[derive(Clone)]
pub(crate) struct Alias {
    pub(crate) name: Constant<String>,
    pub(crate) span: Span,
}

/// A type that is no longer delivered, and what happens to its events.
#[derive(Clone)]
pub(crate) struct RetiredType {
    pub(crate) event_type: Constant<String>,
    pub(crate) span: Span,
    pub(crate) policy: Choice,
}

const POLICIES: [Choice; 3] = [
    choice("drop", "Drop"),
    choice("dead", "Dead"),
    choice("hold", "Hold"),
];
const RETIRED_EXAMPLE: &str = "retired(\"legacyType\" = drop)";

/// A list of at least one event type; all its errors are reported together.
pub(super) fn alias(key: &Key, input: ParseStream<'_>) -> Result<Aliases> {
    let example = "[\"mood_entry\"]";
    constant(key, input, "a list of event types", example, |input| {
        let content;
        let brackets: token::Bracket = bracketed!(content in input);
        let names = content.parse_terminated(name, Token![,])?;
        if names.is_empty() {
            let message = format!("`alias` needs at least one older name: `alias = {example}`");
            return Ok(Err(Error::new(brackets.span.join(), message)));
        }
        Ok(all(names))
    })
}

/// `("legacyType" = drop, OLDER = hold)`.
pub(super) fn retired(key: &Key, input: ParseStream<'_>) -> Result<Vec<RetiredType>> {
    in_parentheses(key, input, takes)
}

impl Parse for RetiredType {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let span = input.span();
        let Alias { name, span } = name(input).map_err(|_| takes(span))??;
        input.parse::<Token![=]>().map_err(|_| takes(span))?;
        Ok(Self {
            event_type: name,
            span,
            policy: policy(input, span)?,
        })
    }
}

/// One of the policies, which are words of the language of this attribute, not strings.
fn policy(input: ParseStream<'_>, of: Span) -> Result<Choice> {
    let words = POLICIES.map(|policy| policy.word());
    if input.is_empty() {
        return Err(takes(of));
    }
    if input.peek(LitStr) {
        let literal: LitStr = input.parse()?;
        let message = format!("write `{}` without quotes", literal.value());
        return Err(Error::new(literal.span(), message));
    }
    let span = input.span();
    let word = input.call(Ident::parse_any).map_err(|_| takes(span))?;
    let written = word.to_string();
    let chosen = POLICIES.iter().find(|policy| policy.is(&written));
    chosen.copied().ok_or_else(|| {
        let help = match did_you_mean(&written, &words) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("choose from {}", list(&words)),
        };
        let message = format!("a retired type cannot be `{written}`\n= help: {help}");
        Error::new(word.span(), message)
    })
}

/// An event type. The inner error is about a string that is none.
fn name(input: ParseStream<'_>) -> Result<Result<Alias>> {
    if names_constant(input) {
        let path: syn::TypePath = input.parse()?;
        let span = path.span();
        let name = Constant::Path(Box::new(path));
        return Ok(Ok(Alias { name, span }));
    }
    let literal: LitStr = input.parse()?;
    let (text, span) = (literal.value(), literal.span());
    let fault = match text.is_empty() {
        true => Some("an event type cannot be empty".to_owned()),
        false => event_type_fault(&text),
    };
    Ok(match fault {
        Some(fault) => Err(Error::new(span, fault)),
        None => Ok(Alias {
            name: Constant::Known(text),
            span,
        }),
    })
}

/// All values, or all errors.
fn all<T>(read: Punctuated<Result<T>, Token![,]>) -> Result<Vec<T>> {
    let mut known = Vec::new();
    let mut faults: Option<Error> = None;
    for one in read {
        match (one, &mut faults) {
            (Ok(one), _) => known.push(one),
            (Err(error), Some(faults)) => faults.combine(error),
            (Err(error), None) => faults = Some(error),
        }
    }
    faults.map_or(Ok(known), Err)
}

fn takes(span: Span) -> Error {
    let message = format!(
        "`retired` takes event types, each with `drop`, `dead` or `hold`: `{RETIRED_EXAMPLE}`"
    );
    Error::new(span, message)
}

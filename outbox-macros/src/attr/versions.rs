//! `version` and `upcast(..)`: the version that is written, and the types of older ones.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, LitInt, Result, Token, Type};

use super::{Key, value};

const EXAMPLE: &str = "upcast(1 = MoodEntryMetadataV1)";

/// An older version and the type of its rows.
#[derive(Clone)]
pub(crate) struct Older {
    pub(crate) version: u32,
    /// The span of the version number.
    pub(crate) span: Span,
    pub(crate) ty: Type,
}

/// A whole number from 1.
pub(super) fn version(key: &Key, input: ParseStream<'_>) -> Result<u32> {
    let literal: LitInt = value::value(key, input, "a whole number", "2", Parse::parse)?;
    number(&literal)
}

/// `(1 = MoodEntryMetadataV1, 2 = v2::MoodEntryMetadata)`.
pub(super) fn upcast(key: &Key, input: ParseStream<'_>) -> Result<Vec<Older>> {
    value::in_parentheses(key, input, takes)
}

impl Parse for Older {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let span = input.span();
        let literal: LitInt = input.parse().map_err(|_| takes(span))?;
        let version = number(&literal)?;
        input
            .parse::<Token![=]>()
            .map_err(|_| takes(literal.span()))?;
        let span = if input.is_empty() {
            literal.span()
        } else {
            input.span()
        };
        Ok(Self {
            version,
            span: literal.span(),
            ty: input.parse().map_err(|_| takes(span))?,
        })
    }
}

/// Versions are counted from 1, in rows too.
fn number(literal: &LitInt) -> Result<u32> {
    let fault = match literal.base10_parse() {
        Ok(0) => "the first version is 1".to_owned(),
        Ok(version) => return Ok(version),
        Err(_) => format!("a version is a whole number from 1 to {}", u32::MAX),
    };
    Err(Error::new(literal.span(), fault))
}

fn takes(span: Span) -> Error {
    let message = format!("`upcast` takes older versions and the types of their rows: `{EXAMPLE}`");
    Error::new(span, message)
}

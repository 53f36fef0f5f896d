//! `(after = wait)`: the field that says for how long.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Ident, Member, Result, Token, parenthesized, token};

use super::Key;
use crate::diag::did_you_mean;

/// `retry` or `retry(after = wait)`.
pub(super) fn optional(key: &Key, input: ParseStream<'_>) -> Result<Option<Member>> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(None);
    }
    required(key, input).map(Some)
}

/// `(after = wait)`: the field that says for how long.
pub(super) fn required(key: &Key, input: ParseStream<'_>) -> Result<Member> {
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

//! The lint `outbox::credentials_in_metadata`: no row contains credentials.
//!
//! A token in a row outlives the session, is in every backup and export, and has expired when the
//! event is delivered. Types whose name says that they hold a secret are refused wherever they
//! would be stored.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;

use super::entity::is_id;
use crate::attr::{EntitySource, is_skipped_by_serde};
use crate::diag::Diagnostics;

/// Types of secrecy (any version), zeroize and similar crates.
const NAMES: [&str; 7] = [
    "Secret",
    "SecretBox",
    "SecretBytes",
    "SecretSlice",
    "SecretString",
    "SecretVec",
    "Zeroizing",
];

/// Metadata and ids are columns; all fields of a snapshot are metadata unless serde skips them.
pub(super) fn no_column_holds_credentials(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_snapshot = source.attrs.snapshot.is_some();
    for field in &source.fields {
        let help = if is_id(field) {
            "use an id that grants no access, such as a UUID"
        } else if field.attrs.metadata.is_some() {
            "remove `metadata` here, and let the handler take it from the session"
        } else if is_snapshot && !is_skipped_by_serde(&field.field.attrs) {
            "skip it with `#[serde(skip)]`, and let the handler take it from the session"
        } else {
            continue;
        };
        if let Some(name) = named_in(field.field.ty.to_token_stream()) {
            diag.error_with_help(
                name.span(),
                format_args!(
                    "credentials do not belong in the outbox: a `{name}` stays readable in rows, exports and backups \
                     (lint `outbox::credentials_in_metadata`)"
                ),
                help,
            );
        }
    }
}

/// The first of these types in `ty`. A path segment that is followed by another is a module.
fn named_in(ty: TokenStream) -> Option<Ident> {
    let mut tokens = ty.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(name) if NAMES.iter().any(|known| name == known) => {
                let is = |token: Option<TokenTree>, sign| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
                let goes_on = is(tokens.clone().next(), ':') && !is(tokens.clone().nth(2), '<');
                if !goes_on {
                    return Some(name);
                }
            }
            TokenTree::Group(group) => {
                let found = named_in(group.stream());
                if found.is_some() {
                    return found;
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    None
}

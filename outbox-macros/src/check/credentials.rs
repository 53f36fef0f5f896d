//! The lint `outbox::credentials_in_metadata`: what opens an account is in no row.
//!
//! A token in a row outlives the session, is in every backup and export, and is old when the event is delivered. Types that
//! say by their name that they hold such a thing are refused wherever they would be stored.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;

use super::entity::is_id;
use crate::attr::{EntitySource, is_skipped_by_serde};
use crate::diag::Diagnostics;

/// Of the crates secrecy (whatever its version), zeroize and those that are like them.
const NAMES: [&str; 7] = [
    "Secret",
    "SecretBox",
    "SecretBytes",
    "SecretSlice",
    "SecretString",
    "SecretVec",
    "Zeroizing",
];

/// Metadata and ids are columns; of a snapshot all fields are metadata that serde does not skip.
pub(super) fn no_column_holds_any(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_snapshot = source.attrs.snapshot.is_some();
    for field in &source.fields {
        let help = if is_id(field) {
            "use an id that opens nothing, such as a UUID"
        } else if field.attrs.metadata.is_some() {
            "remove `metadata` here, and take it from your session in the handler"
        } else if is_snapshot && !is_skipped_by_serde(&field.field.attrs) {
            "keep it out of the snapshot with `#[serde(skip)]`, and take it from your session in the handler"
        } else {
            continue;
        };
        if let Some(name) = named_in(field.field.ty.to_token_stream()) {
            diag.error_with_help(
                name.span(),
                format_args!(
                    "credentials are not stored in the outbox: a `{name}` would stay readable in its row, exports and backups \
                     (lint `outbox::credentials_in_metadata`)"
                ),
                help,
            );
        }
    }
}

/// The first such type that `ty` is or is made of. What is a segment of a path that goes on is a module.
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

//! The rules of getting along with macros of other crates.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Path};

use crate::attr::EntitySource;
use crate::diag::Diagnostics;

/// Every one of them.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    serde_as_comes_first(source, diag);
    prost_shows_nothing_sensitive(source, diag);
}

/// Below the derive, `serde_as` changes attributes that the derive has read already: fields would be written as if it were not there.
fn serde_as_comes_first(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let on_fields = source.fields.iter().flat_map(|field| &field.field.attrs);
    // One error: the struct's attribute, which is the one to move, or the first of a field.
    let found = source
        .input
        .attrs
        .iter()
        .chain(on_fields)
        .find(|attr| is_last_segment(attr.path(), "serde_as"));
    if let Some(attr) = found {
        diag.error_with_help(
            attr.path().span(),
            "`serde_as` is below the derive, which has read the fields by then, so that another form would be written",
            "put `#[serde_as]` above every `#[derive(..)]` of the struct",
        );
    }
}

/// `prost::Message` writes a `Debug` of its own, which shows everything.
fn prost_shows_nothing_sensitive(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_prost = |attr: &&Attribute| attr.path().is_ident("prost");
    let of_fields = source.fields.iter().flat_map(|field| &field.field.attrs);
    let is_message = of_fields.clone().any(|attr| is_prost(&attr));
    let skips_debug = source
        .input
        .attrs
        .iter()
        .filter(is_prost)
        .any(|attr| attr.to_token_stream().to_string().contains("skip_debug"));
    let sensitive = source
        .fields
        .iter()
        .find_map(|field| field.attrs.sensitive.as_ref());
    if let (Some(_), true, false, Some(sensitive)) =
        (&source.attrs.snapshot, is_message, skips_debug, sensitive)
    {
        diag.error_with_help(
            sensitive.key.span(),
            "`prost::Message` writes a `Debug` that shows this field, beside the one that leaves it out",
            "add `#[prost(skip_debug)]` to the struct",
        );
    }
}

fn is_last_segment(path: &Path, name: &str) -> bool {
    path.segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

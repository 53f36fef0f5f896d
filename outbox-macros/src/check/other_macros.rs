//! The rules of getting along with macros of other crates.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Path};

use crate::attr::{EntitySource, FieldSource, serde_default};
use crate::diag::Diagnostics;

/// Every one of them.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    what_changes_fields_comes_first(source, diag);
    a_default_is_that_of_a_field(source, diag);
    prost_shows_nothing_sensitive(source, diag);
}

/// Attributes that change the fields or what is said to serde about them.
const CHANGING: [&str; 4] = ["serde_as", "skip_serializing_none", "apply", "serde_alias"];

/// Below the derive, they change what the derive has read already: fields would be written as if
/// they were not there.
fn what_changes_fields_comes_first(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let on_fields = source.fields.iter().flat_map(|field| &field.field.attrs);
    let on_fields = on_fields.filter(|attr| is_last_segment(attr.path(), "serde_as"));
    let on_struct = source.input.attrs.iter();
    let on_struct = on_struct.filter(|attr| {
        CHANGING
            .iter()
            .any(|name| is_last_segment(attr.path(), name))
    });
    // One error: the struct's attribute, which is the one to move, or the first of a field.
    if let Some(attr) = on_struct.chain(on_fields).next()
        && let Some(name) = attr.path().segments.last()
    {
        let name = &name.ident;
        diag.error_with_help(
            attr.path().span(),
            format_args!(
                "`{name}` is below the derive, which has read the fields by then, so that another form would be written"
            ),
            format_args!("put `#[{name}]` above every `#[derive(..)]` of the struct"),
        );
    }
}

/// The metadata of chosen fields is another struct than the one that serde would take a default of.
fn a_default_is_that_of_a_field(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_chosen = |field: &FieldSource<'_>| field.attrs.metadata.is_some();
    if source.attrs.snapshot.is_some() || !source.fields.iter().any(is_chosen) {
        return;
    }
    if let Some(default) = serde_default(&source.input.attrs) {
        diag.error_with_help(
            default.path().span(),
            "`default` of the struct does not count for its metadata: a row without one of the fields would be a dead letter",
            "put `#[serde(default)]` on each `metadata` field that may be missing",
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
    if let (true, false, Some(sensitive)) = (is_message, skips_debug, sensitive) {
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

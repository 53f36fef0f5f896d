//! The rules for macros of other crates.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Path};

use crate::attr::{EntitySource, FieldSource, serde_default};
use crate::diag::Diagnostics;

/// Applies every rule.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    field_changing_macros_come_first(source, diag);
    defaults_are_on_fields(source, diag);
    prost_hides_sensitive_fields(source, diag);
}

/// Attributes that change the fields or their serde attributes.
const CHANGING: [&str; 4] = ["serde_as", "skip_serializing_none", "apply", "serde_alias"];

/// Below the derive they change fields that the derive has already read: the fields would be
/// serialized without them.
fn field_changing_macros_come_first(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let on_fields = source.fields.iter().flat_map(|field| &field.field.attrs);
    let on_fields = on_fields.filter(|attr| is_last_segment(attr.path(), "serde_as"));
    let on_struct = source.input.attrs.iter();
    let on_struct = on_struct.filter(|attr| {
        CHANGING
            .iter()
            .any(|name| is_last_segment(attr.path(), name))
    });
    // Report one error: the struct's attribute, which must move, or the first one of a field.
    if let Some(attr) = on_struct.chain(on_fields).next()
        && let Some(name) = attr.path().segments.last()
    {
        let name = &name.ident;
        diag.error_with_help(
            attr.path().span(),
            format_args!(
                "`{name}` has no effect below the derive, which has already read the fields"
            ),
            format_args!("put `#[{name}]` above every `#[derive(..)]` of the struct"),
        );
    }
}

/// The metadata struct of chosen fields is not the struct that serde takes the default from.
fn defaults_are_on_fields(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_chosen = |field: &FieldSource<'_>| field.attrs.metadata.is_some();
    if source.attrs.snapshot.is_some() || !source.fields.iter().any(is_chosen) {
        return;
    }
    if let Some(default) = serde_default(&source.input.attrs) {
        diag.error_with_help(
            default.path().span(),
            "`default` on the struct does not apply to its metadata: a row without one of the fields becomes a dead letter",
            "put `#[serde(default)]` on each `metadata` field that may be missing",
        );
    }
}

/// `prost::Message` derives a `Debug` that shows everything.
fn prost_hides_sensitive_fields(source: &EntitySource<'_>, diag: &mut Diagnostics) {
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
            "`prost::Message` derives a `Debug` that shows this sensitive field",
            "add `#[prost(skip_debug)]` to the struct",
        );
    }
}

fn is_last_segment(path: &Path, name: &str) -> bool {
    path.segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

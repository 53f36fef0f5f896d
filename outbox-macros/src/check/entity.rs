//! The rules of `#[derive(OutboxEntity)]`.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Data, DeriveInput, Expr, Fields, FieldsNamed};

use super::{credentials, expiry, ids, names, parents, versions};
use crate::attr::{EntitySource, FieldSource};
use crate::diag::Diagnostics;
use crate::words;

/// Applies every rule.
pub(crate) fn entity(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    event_type_is_given(source, diag);
    super::other_macros::check(source, diag);
    ids::check(source, diag);
    names::aliases(source, diag);
    a_snapshot_has_no_metadata_fields(source, diag);
    metadata_borrows_nothing(source, diag);
    a_timeout_is_shorter_than_the_lease(source, diag);
    only_snapshots_coalesce(source, diag);
    on_dead_needs_an_order(source, diag);
    expiry::check(source, diag);
    parents::check(source, diag);
    sensitive_fields_are_metadata(source, diag);
    no_id_is_sensitive(source, diag);
    a_destination_reads_fields_of_self(source, diag);
    no_destination_is_sensitive(source, diag);
    credentials::no_column_holds_credentials(source, diag);
    versions::check(source, diag);
    an_entity_is_static(source, diag);
}

/// An entity is a struct with named fields.
pub(crate) fn named_fields<'a>(
    input: &'a DeriveInput,
    diag: &mut Diagnostics,
) -> Option<&'a FieldsNamed> {
    let found = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Some(fields),
            Fields::Unnamed(_) => "this is a tuple struct",
            Fields::Unit => "this is a unit struct",
        },
        Data::Enum(_) => "this is an enum",
        Data::Union(_) => "this is a union",
    };
    diag.error(
        input.ident.span(),
        format_args!("an outbox entity must be a struct with named fields; {found}"),
    );
    // Without fields nothing can be marked.
    diag.attempted("entity_id");
    diag.attempted("user_id");
    None
}

/// The event type is stored, so it is never derived from the struct's name.
fn event_type_is_given(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if source.attrs.event_type.is_none() {
        let name = &source.input.ident;
        let suggestion = words::lower_camel(name);
        diag.missing(
            "event_type",
            name.span(),
            format_args!("`{name}` has no event type"),
            format_args!("add `#[outbox(event_type = \"{suggestion}\")]` to the struct"),
        );
    }
}

/// With `snapshot` the entity is the metadata, so no field can be chosen.
fn a_snapshot_has_no_metadata_fields(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if source.attrs.snapshot.is_none() {
        return;
    }
    for mark in source
        .fields
        .iter()
        .filter_map(|field| field.attrs.metadata.as_ref())
    {
        diag.error_with_help(
            mark.key.span(),
            "with `snapshot` every field is metadata already",
            "remove `metadata` here, or `snapshot` from the struct",
        );
    }
    if let Some(name) = &source.attrs.metadata {
        diag.error_with_help(
            name.key.span(),
            "`snapshot` generates no metadata struct that could have a name",
            "remove `metadata` here, or `snapshot`",
        );
    }
}

/// A worker must still hold the lease when its handler times out.
fn a_timeout_is_shorter_than_the_lease(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let (Some(timeout), Some(lease)) = (&source.attrs.timeout, &source.attrs.lease) else {
        return;
    };
    // The generated code checks constants.
    let (Some(longest), Some(held)) = (timeout.value.known(), lease.value.known()) else {
        return;
    };
    if longest >= held {
        diag.error_with_help(
            timeout.key.span(),
            "the timeout must be shorter than the lease, or another worker gets the event while the handler runs",
            "make this shorter, or the lease longer",
        );
        diag.error(lease.key.span(), "the lease is here");
    }
}

/// Chosen fields may describe a change, and the latest of two changes does not replace both.
fn only_snapshots_coalesce(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if let Some(coalesce) = &source.attrs.coalesce
        && source.attrs.snapshot.is_none()
        && !diag.is_attempted("snapshot")
    {
        diag.error_with_help(
            coalesce.key.span(),
            "`coalesce` needs `snapshot`: only an event with the whole entity can replace an earlier one",
            "add `snapshot`, or remove `coalesce`",
        );
    }
}

/// Without an order nothing waits but for a parent, so there is nothing to hold.
fn on_dead_needs_an_order(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let (Some(order), Some(on_dead)) = (&source.attrs.order, &source.attrs.on_dead) else {
        return;
    };
    if order.value.known().is_some_and(|order| order.is("none")) && !parents::any(source) {
        diag.error_with_help(
            on_dead.key.span(),
            "with `order = \"none\"` no event waits for another, so `on_dead` has no effect",
            "remove `on_dead`",
        );
    }
}

/// A field that is not part of the event needs no hiding.
fn sensitive_fields_are_metadata(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let carried = source.attrs.snapshot.is_some() || diag.is_attempted("snapshot");
    for field in source.fields.iter().filter(|_| !carried) {
        if let Some(sensitive) = &field.attrs.sensitive
            && field.attrs.metadata.is_none()
            && !field.is_faulty
            && !is_id(field)
        {
            diag.error_with_help(
                sensitive.key.span(),
                "`sensitive` has no effect: this field is not part of the event",
                "add `metadata` beside `sensitive`, or remove it",
            );
        }
    }
}

/// Ids are columns of the row and appear in logs and messages.
fn no_id_is_sensitive(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    for field in source.fields.iter().filter(|field| is_id(field)) {
        if let Some(sensitive) = &field.attrs.sensitive {
            diag.error_with_help(
                sensitive.key.span(),
                "an id cannot be sensitive: rows, logs and messages contain it",
                "use an id that reveals nothing, such as a UUID, and move the sensitive data to another field",
            );
        }
    }
}

pub(super) fn is_id(field: &FieldSource<'_>) -> bool {
    field.attrs.entity_id.is_some() || field.attrs.user_id.is_some()
}

/// A bare field name is not in scope; the expression must read it from `self`.
fn a_destination_reads_fields_of_self(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if let Some(destination) = &source.attrs.destination {
        expression_reads_fields_of_self(source, "destination", &destination.value, diag);
    }
}

/// A bare field name is not in scope, neither alone nor in a tuple.
pub(super) fn expression_reads_fields_of_self(
    source: &EntitySource<'_>,
    key: &str,
    value: &Expr,
    diag: &mut Diagnostics,
) {
    if let Expr::Tuple(tuple) = value {
        for part in &tuple.elems {
            expression_reads_fields_of_self(source, key, part, diag);
        }
    }
    if let Expr::Path(path) = value
        && let Some(name) = path.path.get_ident()
        && source.fields.iter().any(|field| field.ident == name)
    {
        diag.error_with_help(
            name.span(),
            format_args!("`{name}` is a field of the entity"),
            format_args!("write `{key} = self.{name}`"),
        );
    }
}

/// A destination is a column and appears in logs and messages.
fn no_destination_is_sensitive(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let Some(destination) = &source.attrs.destination else {
        return;
    };
    no_sensitive_field_is_read(
        source,
        &destination.value,
        "a destination cannot be sensitive: rows, logs and messages contain it",
        "use a destination name that reveals nothing, such as a key of your configuration",
        diag,
    );
}

/// Reports each sensitive field that the expression reads.
pub(super) fn no_sensitive_field_is_read(
    source: &EntitySource<'_>,
    value: &Expr,
    message: &str,
    help: &str,
    diag: &mut Diagnostics,
) {
    let read = fields_of_self(value.to_token_stream());
    let sensitive = source
        .fields
        .iter()
        .filter(|field| field.attrs.sensitive.is_some());
    for field in sensitive {
        if let Some(read) = read.iter().find(|read| *read == field.ident) {
            diag.error_with_help(read.span(), message, help);
        }
    }
}

/// The `host` of `self.host`, wherever it stands.
fn fields_of_self(tokens: TokenStream) -> Vec<Ident> {
    let mut fields = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "self" => {
                let is_dot = |next: &TokenTree| matches!(next, TokenTree::Punct(punct) if punct.as_char() == '.');
                if tokens.next_if(is_dot).is_some()
                    && let Some(TokenTree::Ident(field)) = tokens.peek()
                {
                    fields.push(field.clone());
                }
            }
            TokenTree::Group(group) => fields.append(&mut fields_of_self(group.stream())),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    fields
}

/// Metadata that is deserialized from a row has nothing to borrow from.
fn metadata_borrows_nothing(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let fields = source.fields.iter();
    for field in fields.filter(|field| field.attrs.metadata.is_some()) {
        if let Some(borrow) = reference_in(field.field.ty.to_token_stream()) {
            diag.error_with_help(
                borrow,
                "metadata cannot borrow: it is deserialized from a row",
                "use an owned type, such as `String` for `&str` and `Vec<T>` for `&[T]`",
            );
        }
    }
}

/// The span of the first reference in a type. Brackets are skipped, because `&` in an array length
/// is an operator.
fn reference_in(ty: TokenStream) -> Option<Span> {
    ty.into_iter().find_map(|token| match token {
        TokenTree::Punct(punct) if punct.as_char() == '&' => Some(punct.span()),
        TokenTree::Group(group) if group.delimiter() != Delimiter::Bracket => {
            reference_in(group.stream())
        }
        _ => None,
    })
}

/// An event outlives its entity and may be read by another process.
fn an_entity_is_static(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    for parameter in source.input.generics.lifetimes() {
        let name = &source.input.ident;
        let lifetime = &parameter.lifetime;
        diag.error_with_help(
            lifetime.span(),
            format_args!("an outbox entity must be `'static`; `{name}` borrows for `{lifetime}`"),
            "own the data: `String` for a `&str`, `Vec<T>` for a `&[T]`, or an `Arc`",
        );
    }
}

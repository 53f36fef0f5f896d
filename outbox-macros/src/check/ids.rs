//! The rules of ids: of an entity's, and of `#[derive(EntityId)]`.

use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Expr, Field, Member};

use super::entity::{expression_reads_fields_of_self, no_sensitive_field_is_read};
use crate::attr::{EntitySource, FieldAttrs, FieldSource, Keyed};
use crate::diag::Diagnostics;

/// An id of an entity: its key, the value on the struct, and the mark on a field.
struct Id {
    key: &'static str,
    on_struct: for<'s, 'a> fn(&'s EntitySource<'a>) -> Option<&'s Keyed<Expr>>,
    on_field: fn(&FieldAttrs) -> &Option<Keyed<()>>,
}

const IDS: [Id; 2] = [
    Id {
        key: "entity_id",
        on_struct: entity_id_of,
        on_field: |attrs| &attrs.entity_id,
    },
    Id {
        key: "user_id",
        on_struct: user_id_of,
        on_field: |attrs| &attrs.user_id,
    },
];

fn entity_id_of<'s>(source: &'s EntitySource<'_>) -> Option<&'s Keyed<Expr>> {
    source.attrs.entity_id.as_ref()
}

fn user_id_of<'s>(source: &'s EntitySource<'_>) -> Option<&'s Keyed<Expr>> {
    source.attrs.user_id.as_ref()
}

/// Applies every rule of an entity's ids.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    an_entity_has_an_id(source, diag);
    for id in &IDS {
        an_id_is_given_once(source, id, diag);
        if let Some(value) = (id.on_struct)(source) {
            expression_reads_fields_of_self(source, id.key, &value.value, diag);
            no_id_reads_a_sensitive_field(source, &value.value, diag);
        }
    }
}

/// The user may come from the call, the entity may not.
fn an_entity_has_an_id(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let is_marked = source
        .fields
        .iter()
        .any(|field| field.attrs.entity_id.is_some());
    if !is_marked && source.attrs.entity_id.is_none() {
        let name = &source.input.ident;
        diag.missing(
            "entity_id",
            name.span(),
            format_args!("`{name}` has no `entity_id`"),
            "mark the field that identifies the entity with `#[outbox(entity_id)]`, or compute the id: \
             `#[outbox(entity_id = (self.tenant, self.number))]` on the struct",
        );
    }
}

fn an_id_is_given_once(source: &EntitySource<'_>, id: &Id, diag: &mut Diagnostics) {
    let key = id.key;
    let mut marks = source
        .fields
        .iter()
        .filter_map(|field: &FieldSource<'_>| (id.on_field)(&field.attrs).as_ref());
    let Some(first) = marks.next() else {
        return;
    };
    if let Some(value) = (id.on_struct)(source) {
        diag.error_with_help(
            value.key.span(),
            format_args!("`{key}` is given here and by a field"),
            "remove one of the two",
        );
    }
    for mark in marks {
        diag.duplicate(
            mark.key.span(),
            first.key.span(),
            format_args!("only one field can be the `{key}`"),
        );
    }
}

/// Ids are columns of the row and appear in logs and messages.
fn no_id_reads_a_sensitive_field(source: &EntitySource<'_>, id: &Expr, diag: &mut Diagnostics) {
    no_sensitive_field_is_read(
        source,
        id,
        "an id cannot be sensitive: rows, logs and messages contain it",
        "use an id that reveals nothing, such as a UUID",
        diag,
    );
}

/// A newtype is a struct with one field, beside markers of its parameters.
pub(crate) fn id(input: &DeriveInput, fields: &[(Member, &Field)], diag: &mut Diagnostics) {
    let fault = match &input.data {
        Data::Enum(_) => "this is an enum",
        Data::Union(_) => "this is a union",
        Data::Struct(_) => match fields {
            [_] => return,
            [] => "this has none",
            [_, second, ..] => {
                return diag.error_with_help(
                    second.1.span(),
                    "an id type has one field; this is another one",
                    "for an id of several parts use a tuple: `#[outbox(entity_id = (self.tenant, self.number))]`",
                );
            }
        },
    };
    diag.error_with_help(
        input.ident.span(),
        format_args!("an id type must be a struct with one field; {fault}"),
        "write `struct OrderId(Uuid);`",
    );
}

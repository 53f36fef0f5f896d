//! The rules of `#[derive(OutboxEvents)]`.

use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput};

use crate::attr::is_outbox;
use crate::diag::Diagnostics;
use crate::model::{EventSet, Variant};

/// Every one that concerns the whole set.
pub(crate) fn events(set: &EventSet<'_>, diag: &mut Diagnostics) {
    no_variant_is_generic(&set.variants, diag);
    methods_are_distinct(&set.variants, diag);
    entities_are_distinct(&set.variants, diag);
    no_parameters(set, diag);
}

/// A set of events is an enum with at least one variant.
pub(crate) fn is_enum<'a>(input: &'a DeriveInput, diag: &mut Diagnostics) -> Option<&'a DataEnum> {
    let fault = match &input.data {
        Data::Enum(data) if data.variants.is_empty() => "at least one variant; this enum has none",
        Data::Enum(data) => return Some(data),
        Data::Struct(_) => "a variant for each entity; this is a struct",
        Data::Union(_) => "a variant for each entity; this is a union",
    };
    diag.error_with_help(
        input.ident.span(),
        format_args!("a set of outbox events is an enum with {fault}"),
        "write `enum YourEvents { MoodEntry(Event<MoodEntry>) }`",
    );
    None
}

/// `#[outbox(..)]` says nothing about a variant or what it holds.
pub(crate) fn no_attributes(variant: &syn::Variant, diag: &mut Diagnostics) {
    let of_fields = variant.fields.iter().flat_map(|field| &field.attrs);
    let attrs = variant.attrs.iter().chain(of_fields);
    for attr in attrs.filter(|attr| is_outbox(attr)) {
        diag.error_with_help(
            attr.path().span(),
            "`#[outbox(..)]` is not expected on a variant of an enum of events",
            "what concerns one entity belongs on its struct",
        );
    }
}

/// An application has one set of events, and the metadata of any of them is one type.
fn no_parameters(set: &EventSet<'_>, diag: &mut Diagnostics) {
    if let Some(parameter) = set.input.generics.params.first() {
        diag.error_with_help(
            parameter.span(),
            "a generic enum cannot be a set of outbox events",
            "name the types in its variants: `Event<Tagged<Mood>>`",
        );
    }
}

/// The metadata of a set has a variant of its own for what is outside of the set.
fn no_variant_is_generic(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    for variant in variants.iter().filter(|variant| variant.ident == "Generic") {
        diag.error_with_help(
            variant.ident.span(),
            "`Generic` is the variant for metadata whose type is in no set",
            "give this variant another name; the event type of its entity stays as it is",
        );
    }
}

/// Two variants may differ in letters that their methods' names do not have.
fn methods_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.method == second.method && first.ident != second.ident {
            let method = &second.method;
            diag.duplicate(
                second.ident.span(),
                first.ident.span(),
                format_args!("two variants would have the handler method `{method}`"),
            );
        }
    });
}

/// An event of an entity could be either of two variants.
fn entities_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.entity_name() == second.entity_name() {
            diag.duplicate(
                second.entity.span(),
                first.entity.span(),
                "each entity has one variant",
            );
        }
    });
}

/// Calls `pair` with every variant and the first one that comes before it and matches, in order of declaration.
fn each_later_pair<'a>(
    variants: &'a [Variant<'a>],
    mut pair: impl FnMut(&Variant<'a>, &Variant<'a>),
) {
    for (at, second) in variants.iter().enumerate() {
        for first in variants.iter().take(at) {
            pair(first, second);
        }
    }
}

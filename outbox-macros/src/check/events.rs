//! The rules of `#[derive(OutboxEvents)]`.

use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput};

use super::names;
use crate::attr::{VariantAttrs, is_outbox};
use crate::diag::Diagnostics;
use crate::model::{EventSet, Variant};

/// Applies every rule that concerns the whole set.
pub(crate) fn events(set: &EventSet<'_>, diag: &mut Diagnostics) {
    no_variant_is_generic(&set.variants, diag);
    methods_are_distinct(&set.variants, diag);
    entities_are_distinct(&set.variants, diag);
    no_parameters(set, diag);
    names::retired(&set.retired, diag);
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
        format_args!("a set of outbox events must be an enum with {fault}"),
        "write `enum YourEvents { MoodEntry(Event<MoodEntry>) }`",
    );
    None
}

/// `#[outbox(..)]` has no meaning on the contents of a variant.
pub(crate) fn no_attributes(variant: &syn::Variant, diag: &mut Diagnostics) {
    let attrs = variant.fields.iter().flat_map(|field| &field.attrs);
    for attr in attrs.filter(|attr| is_outbox(attr)) {
        diag.error_with_help(
            attr.path().span(),
            "`#[outbox(..)]` is not allowed on the contents of a variant",
            "put it on the variant, or on the entity's struct",
        );
    }
}

/// The bounds of a batch need one.
pub(crate) fn bounds_have_a_batch(attrs: &VariantAttrs, diag: &mut Diagnostics) {
    if attrs.batch.is_some() || diag.is_attempted("batch") {
        return;
    }
    let within = attrs.within.as_ref().map(|keyed| &keyed.key);
    let bytes = attrs.batch_bytes.as_ref().map(|keyed| &keyed.key);
    let order = attrs.batch_order.as_ref().map(|keyed| &keyed.key);
    let bounds = within.into_iter().chain(bytes);
    let bounds = bounds.map(|key| (key, "bounds a batch of events"));
    let order = order.map(|key| (key, "tells which events come in one batch"));
    for (key, what) in bounds.chain(order) {
        diag.error_with_help(
            key.span(),
            format_args!("`{key}` needs `batch`: it {what}"),
            "add `batch = 100`, the largest number of events for one call",
        );
    }
}

/// An application has one set of events, and their metadata is one type.
fn no_parameters(set: &EventSet<'_>, diag: &mut Diagnostics) {
    if let Some(parameter) = set.input.generics.params.first() {
        diag.error_with_help(
            parameter.span(),
            "a generic enum cannot be a set of outbox events",
            "name the types in its variants: `Event<Tagged<Mood>>`",
        );
    }
}

/// The metadata enum of a set has its own variant for events outside of the set.
fn no_variant_is_generic(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    for variant in variants.iter().filter(|variant| variant.ident == "Generic") {
        diag.error_with_help(
            variant.ident.span(),
            "`Generic` is a reserved variant, for event types outside of the set",
            "rename this variant; the event type of its entity stays the same",
        );
    }
}

/// Variants may differ only in characters that method names lack.
fn methods_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.method == second.method && first.ident != second.ident {
            let method = &second.method;
            diag.duplicate(
                second.ident.span(),
                first.ident.span(),
                format_args!("two variants have the handler method `{method}`"),
            );
        }
    });
}

/// An event of an entity must belong to one variant.
fn entities_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.entity_name() == second.entity_name() {
            diag.duplicate(
                second.entity.span(),
                first.entity.span(),
                "this entity already has a variant",
            );
        }
    });
}

/// Calls `pair` with every variant and each earlier one, in order of declaration.
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

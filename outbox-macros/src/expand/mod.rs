//! The generated code: the only place with `quote!`.
//!
//! Items that a user can name (the metadata struct, the handler trait) are emitted as items;
//! everything else is in one `const _` that knows the runtime as `_outbox`, so that no generated
//! name can collide with the user's. Only code that the compiler should underline in its errors has
//! the user's spans.

mod batch; // events that are delivered together
mod delivery_error; // impl DeliveryError
mod destination; // where the events of an entity go
mod docs; // links to the runtime
mod enqueue; // enqueue_create, enqueue_sync, enqueue_update, enqueue_delete
mod entity; // impl OutboxEntity
mod event_set; // what tools read of a set
mod events; // EVENT_TYPES, decode
mod fallback; // what stands in for code that could not be generated
mod generics; // bounds on the parameters of a generic entity
mod handler; // trait <Set>Handler, handled_by
#[cfg(test)]
mod hygiene; // names that generated code may bind
mod id_type; // the impls of an id type
mod ids; // the ids of an entity
mod metadata; // struct <Entity>Metadata, its JSON
mod options; // OPTIONS
mod parents; // the entities that the service must have first
mod receiver; // `Self` in the types of fields
mod sensitive; // redaction of sensitive fields
mod set_metadata; // enum <Set>Metadata, its JSON
mod style; // names that a lint objects to
mod versions; // rows of older versions

#[cfg(test)]
mod tests;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{DeriveInput, Ident, Path};

use crate::attr::{EntitySource, ErrorSource, IdSource};
use crate::model::{Entity, ErrorType, EventSet};
use crate::{check, diag};

/// `#[derive(OutboxEntity)]`.
pub(crate) fn outbox_entity(input: &DeriveInput) -> TokenStream {
    let input = &*receiver::spell_out(input);
    let (source, faults) = diag::collect(|diag| {
        let source = EntitySource::read(input, diag);
        check::entity(&source, diag);
        source
    });
    let entity = faults.and_then(|()| Entity::from_source(&source).ok_or_else(diag::bug));
    match entity {
        Ok(entity) => entity::expand(&entity),
        Err(errors) => fallback::entity(&source, &errors),
    }
}

/// `#[derive(OutboxEvents)]`.
pub(crate) fn outbox_events(input: &DeriveInput) -> TokenStream {
    let (set, faults) = diag::collect(|diag| {
        let set = EventSet::read(input, diag);
        check::events(&set, diag);
        set
    });
    match faults {
        Ok(()) => events::expand(&set),
        Err(errors) => fallback::events(set, &errors),
    }
}

/// `#[derive(EntityId)]`.
pub(crate) fn entity_id(input: &DeriveInput) -> TokenStream {
    let (source, faults) = diag::collect(|diag| IdSource::read(input, diag));
    match (faults, source.fields.as_slice()) {
        (Ok(()), [(member, field)]) => id_type::expand(&source, member, &field.ty),
        (Ok(()), _) => fallback::id(&source, &diag::bug()),
        (Err(errors), _) => fallback::id(&source, &errors),
    }
}

/// `#[derive(DeliveryError)]`.
pub(crate) fn delivery_error(input: &DeriveInput) -> TokenStream {
    let (source, faults) = diag::collect(|diag| {
        let source = ErrorSource::read(input, diag);
        check::error(&source, diag);
        source
    });
    let error = faults.and_then(|()| ErrorType::from_source(&source).ok_or_else(diag::bug));
    match error {
        Ok(error) => delivery_error::expand(&error),
        Err(errors) => fallback::delivery_error(&source, &errors),
    }
}

/// The path of the runtime.
fn runtime(krate: Option<&Path>) -> TokenStream {
    krate.map_or_else(|| quote!(::outbox_runtime), ToTokens::to_token_stream)
}

/// Items that know the runtime as `_outbox` and that nobody outside can name.
fn in_const(runtime: &TokenStream, items: &[TokenStream]) -> TokenStream {
    // The user's types may be deprecated, which the compiler already reports at their use.
    // Output:
    //     #[allow(deprecated)]
    //     const _: () = {
    //         use ::outbox_runtime as _outbox;
    //         impl _outbox::OutboxEntity for MoodEntry { .. }
    //     };
    quote! {
        #[allow(deprecated)]
        const _: () = {
            use #runtime as _outbox;
            #(#items)*
        };
    }
}

/// `MoodEntry` and `Metadata` → `MoodEntryMetadata`, at the place of the first and with the lints
/// of generated code.
fn derived_name(name: &Ident, suffix: &str) -> Ident {
    format_ident!("{name}{suffix}", span = at(name.span()))
}

/// The span of the user's token, with the hygiene and the silence of generated code.
fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// The user's name with its span, as part of generated code.
fn of_generated_code(name: &Ident) -> Ident {
    let mut name = name.clone();
    name.set_span(at(name.span()));
    name
}

//! The set itself: its event types, and reading a row as one of its events.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{at, handler, in_const, runtime, set_metadata, wire_lock};
use crate::model::{EventSet, Variant};

/// Everything that `#[derive(OutboxEvents)]` generates.
pub(super) fn expand(set: &EventSet<'_>) -> TokenStream {
    let items = items(set);
    let assertions = set
        .variants
        .iter()
        .enumerate()
        .map(|(index, variant)| event_type_is_unique(set, index, variant));
    let assertions = in_const(
        &runtime(set.krate.as_ref()),
        &assertions.collect::<Vec<_>>(),
    );
    quote!(#items #assertions)
}

/// What a program can use, without the compile-time checks.
pub(super) fn items(set: &EventSet<'_>) -> TokenStream {
    let runtime = runtime(set.krate.as_ref());
    let handler_trait = handler::trait_item(set, &runtime);
    let metadata_enum = set_metadata::enum_item(set, &runtime);
    let hidden = in_const(
        &runtime,
        &[
            inherent_impl(set),
            use_of_variants(set),
            set_metadata::impls(set),
        ],
    );
    quote!(#handler_trait #metadata_enum #hidden)
}

fn inherent_impl(set: &EventSet<'_>) -> TokenStream {
    let name = &set.input.ident;
    let (impl_generics, type_generics, where_clause) = set.input.generics.split_for_impl();
    let types = set.variants.iter().map(event_type);
    let decode = decode(set);
    let handled_by = handler::handled_by(set);
    let assert_wire_lock = wire_lock::assertion(set);
    let vis = &set.input.vis;
    // Output:
    //     use _outbox::__private::names::{handler, record};
    //     impl LumeEvent {
    //         pub const EVENT_TYPES: &'static [&'static str] = &[<MoodEntry as _outbox::OutboxEntity>::EVENT_TYPE];
    //         pub fn decode(record: _outbox::OutboxEvent) -> Result<Self, _outbox::DecodeError> { .. }
    //         pub fn handled_by<__H: LumeEventHandler>(handler: __H) -> _outbox::HandlerSet { .. }
    //         pub fn assert_wire_lock() { .. }
    //     }
    quote! {
        // Parameters that rustdoc shows have no prefix; see `names` in the runtime.
        use _outbox::__private::names::{handler, record};

        #[automatically_derived]
        impl #impl_generics #name #type_generics #where_clause {
            /// The event types of the set, in the order of its variants.
            #vis const EVENT_TYPES: &'static [&'static ::core::primitive::str] = &[#(#types),*];

            #decode

            #handled_by

            #assert_wire_lock
        }
    }
}

fn decode(set: &EventSet<'_>) -> TokenStream {
    let vis = &set.input.vis;
    let arms = set.variants.iter().map(|variant| {
        let (ident, event_type) = (variant.ident, event_type(variant));
        quote!(#event_type => _outbox::Event::decode(record).map(Self::#ident))
    });
    // Output:
    //     pub fn decode(record: _outbox::OutboxEvent) -> Result<Self, _outbox::DecodeError> {
    //         match record.event_type.as_str() {
    //             <MoodEntry as _outbox::OutboxEntity>::EVENT_TYPE => _outbox::Event::decode(record).map(Self::MoodEntry),
    //             _ => Err(_outbox::DecodeError::UnknownEventType { event_type: record.event_type, known: .. }),
    //         }
    //     }
    quote! {
        /// Reads a row as the event that it is.
        ///
        /// # Errors
        ///
        /// Where its type is not in the set, or its metadata is missing, damaged or of another shape.
        #vis fn decode(
            record: _outbox::OutboxEvent,
        ) -> ::core::result::Result<Self, _outbox::DecodeError> {
            match record.event_type.as_str() {
                #(#arms,)*
                _ => ::core::result::Result::Err(_outbox::DecodeError::UnknownEventType {
                    event_type: record.event_type,
                    known: Self::EVENT_TYPES,
                }),
            }
        }
    }
}

/// Keeps the compiler from warning about a set that is only handled: nobody builds or reads its variants then.
fn use_of_variants(set: &EventSet<'_>) -> TokenStream {
    let name = &set.input.ident;
    let (impl_generics, type_generics, where_clause) = set.input.generics.split_for_impl();
    let arms = set.variants.iter().map(|variant| {
        let ident = variant.ident;
        quote!(Self::#ident(__event) => Self::#ident(__event))
    });
    // Output:
    //     impl LumeEvent {
    //         fn __used(self) -> Self {
    //             match self { Self::MoodEntry(__event) => Self::MoodEntry(__event), __other => __other }
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics #name #type_generics #where_clause {
            #[doc(hidden)]
            #[allow(dead_code)]
            fn __used(self) -> Self {
                match self {
                    #(#arms,)*
                    __other => __other,
                }
            }
        }
    }
}

/// Two entities may have one event type only if they are in no set together.
fn event_type_is_unique(set: &EventSet<'_>, index: usize, variant: &Variant<'_>) -> TokenStream {
    let name = &set.input.ident;
    let message = format!(
        "the event type of `{}` is the event type of an earlier variant of `{name}`",
        variant.ident
    );
    // Output:
    //     const _: () = assert!(_outbox::__private::is_unique(LumeEvent::EVENT_TYPES, 1), "the event type of ..");
    quote_spanned! {at(variant.entity.span())=>
        const _: () = ::core::assert!(
            _outbox::__private::is_unique(#name::EVENT_TYPES, #index),
            #message
        );
    }
}

/// The variant's event type, as an expression and as a pattern.
pub(super) fn event_type(variant: &Variant<'_>) -> TokenStream {
    let entity = variant.entity;
    // Output: <MoodEntry as _outbox::OutboxEntity>::EVENT_TYPE
    quote_spanned!(at(entity.span())=> <#entity as _outbox::OutboxEntity>::EVENT_TYPE)
}

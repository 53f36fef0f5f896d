//! The set itself: its event types, and reading a row as one of its events.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use super::docs::Links;
use super::{at, batch, event_set, handler, in_const, runtime, set_metadata};
use crate::model::{EventSet, Variant};

/// Everything that `#[derive(OutboxEvents)]` generates.
pub(super) fn expand(set: &EventSet<'_>) -> TokenStream {
    let items = items(set);
    if !set.input.generics.params.is_empty() {
        // A generic set is refused, and without its parameters the checks would not compile.
        return items;
    }
    let assertions = in_const(
        &runtime(set.krate.as_ref()),
        &[
            event_types_are_distinct(set),
            retired_types_are_not_handled(set),
        ],
    );
    let of_batches = batch::assertions(set);
    quote!(#items #assertions #of_batches)
}

/// The items for programs, without the compile-time checks.
pub(super) fn items(set: &EventSet<'_>) -> TokenStream {
    let runtime = runtime(set.krate.as_ref());
    let handler_trait = handler::trait_item(set, &runtime);
    let metadata_enum = set_metadata::enum_item(set, &runtime);
    let hidden = in_const(
        &runtime,
        &[
            inherent_impl(set),
            event_set::trait_impl(set),
            handler::shared_impl(set),
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
    let stored = set.variants.iter().map(|it| member(it, "STORED_TYPES"));
    let decode = decode(set);
    let handled_by = handler::handled_by(set);
    let vis = &set.input.vis;
    let summary = format!("The event types of [`{name}`](Self), in the order of its variants.");
    // Output:
    //     use _outbox::__private::names::{handler, record};
    //     use _outbox::__private::NotAMember as _;
    //     impl LumeEvent {
    //         pub const EVENT_TYPES: &'static [&'static str] = &[Member::<MoodEntry>::EVENT_TYPE];
    //         const __STORED_TYPES: &'static [StoredTypes] = &[Member::<MoodEntry>::STORED_TYPES];
    //         pub fn decode(record: _outbox::OutboxEvent) -> Result<Self,
    //             _outbox::DecodeError> { .. }
    //         pub fn handled_by(handler: impl LumeEventHandler) -> _outbox::HandlerSet { .. }
    //     }
    quote! {
        // Parameters that rustdoc shows have no prefix; see `names` in the runtime.
        use _outbox::__private::names::{handler, record};
        use _outbox::__private::NotAMember as _;

        impl #impl_generics #name #type_generics #where_clause {
            #[doc = #summary]
            #vis const EVENT_TYPES: &'static [&'static ::core::primitive::str] = &[#(#types),*];

            #[doc(hidden)]
            const __STORED_TYPES: &'static [_outbox::__private::StoredTypes] = &[#(#stored),*];

            #decode

            #handled_by
        }
    }
}

fn decode(set: &EventSet<'_>) -> TokenStream {
    let vis = &set.input.vis;
    let summary = format!(
        "Decodes a row into its variant of [`{}`](Self).",
        set.input.ident
    );
    let errors = format!(
        "{} if its type is not in the set, or its metadata is missing, damaged or of another shape.",
        Links::new(set.krate.as_ref()).to("DecodeError")
    );
    let arms = set.variants.iter().map(|variant| {
        let ident = variant.ident;
        let (event_type, event) = (event_type(variant), member(variant, "event"));
        quote!(#event_type => #event(record, Self::#ident))
    });
    // Output:
    //     pub fn decode(record: _outbox::OutboxEvent) -> Result<Self, _outbox::DecodeError> {
    //         match current_type(&record.event_type, Self::__STORED_TYPES) {
    //             Member::<MoodEntry>::EVENT_TYPE => Member::<MoodEntry>::event(record,
    //                 Self::MoodEntry),
    //             _ => Err(_outbox::DecodeError::UnknownEventType {
    //                 event_type: record.event_type, known: .. }),
    //         }
    //     }
    quote! {
        #[doc = #summary]
        ///
        /// # Errors
        ///
        #[doc = #errors]
        #vis fn decode(
            record: _outbox::OutboxEvent,
        ) -> ::core::result::Result<Self, _outbox::DecodeError> {
            match _outbox::__private::current_type(&record.event_type, Self::__STORED_TYPES) {
                #(#arms,)*
                _ => ::core::result::Result::Err(_outbox::DecodeError::UnknownEventType {
                    event_type: record.event_type,
                    known: Self::EVENT_TYPES,
                }),
            }
        }
    }
}

/// Silences the warning about a set that is only handled, whose variants nobody builds or reads.
fn use_of_variants(set: &EventSet<'_>) -> TokenStream {
    let name = &set.input.ident;
    let (impl_generics, type_generics, where_clause) = set.input.generics.split_for_impl();
    let idents: Vec<&Ident> = set.variants.iter().map(|variant| variant.ident).collect();
    // Output:
    //     impl LumeEvent {
    //         fn __used(self) {
    //             let _ = (Self::MoodEntry,);
    //             match self { Self::MoodEntry(__event) => {} _ => {} }
    //         }
    //     }
    quote! {
        impl #impl_generics #name #type_generics #where_clause {
            #[doc(hidden)]
            #[allow(dead_code)]
            fn __used(self) {
                let _ = (#(Self::#idents,)*);
                match self {
                    #(Self::#idents(__event) => {})*
                    _ => {}
                }
            }
        }
    }
}

/// Entities of one set need distinct event types, and do not wait for each other in a circle. The
/// error names the other entity at each.
fn event_types_are_distinct(set: &EventSet<'_>) -> TokenStream {
    let name = &set.input.ident;
    let messages = set.variants.iter().map(|variant| {
        let other = variant.ident;
        let same =
            format!("this entity has the same event type as `{other}`, which is in the same set");
        let claimed =
            format!("an alias of this entity belongs to `{other}`, which is in the same set");
        let circle = format!(
            "`{other}` waits for an entity that waits for `{other}`: their `after` lead in a circle, so \
             neither could be delivered first; remove one of them"
        );
        quote!([#same, #claimed, #circle])
    });
    let after = set.variants.iter().map(|variant| member(variant, "AFTER"));
    let count = set.variants.len();
    let assertions = set.variants.iter().enumerate().map(|(index, variant)| {
        quote_spanned! {at(variant.entity.span())=>
            const _: () = _outbox::__private::assert_event_type(
                #name::__STORED_TYPES,
                __AFTER,
                __MESSAGES,
                #index,
            );
        }
    });
    // Output:
    //     use _outbox::__private::NotAMember as _;
    //     const __MESSAGES: &[[&str; 3]] = &[["this entity has the same event type as `MoodEntry`,
    //         ..", "an alias of ..", "`MoodEntry` waits for .."], ..];
    //     const __AFTER: &[TypesAfter; 1] = &[Member::<MoodEntry>::AFTER];
    //     const _: () = _outbox::__private::assert_event_type(LumeEvent::__STORED_TYPES,
    //         __AFTER, __MESSAGES, 0usize);
    quote! {
        use _outbox::__private::NotAMember as _;
        const __MESSAGES: &[[&::core::primitive::str; 3]] = &[#(#messages),*];
        const __AFTER: &[_outbox::__private::TypesAfter; #count] = &[#(#after),*];
        #(#assertions)*
    }
}

/// A retired type is an event type, and no variant has it. The error is at the type.
fn retired_types_are_not_handled(set: &EventSet<'_>) -> TokenStream {
    if set.retired.is_empty() {
        return TokenStream::new();
    }
    let name = &set.input.ident;
    let messages = set.variants.iter().map(|variant| {
        let ident = variant.ident;
        format!("`{ident}` handles this event type, so it is not retired")
    });
    let assertions = set.retired.iter().enumerate().map(|(index, retired)| {
        quote_spanned! {at(retired.span)=>
            const _: () = _outbox::__private::assert_retired(
                #name::__STORED_TYPES,
                __RETIRED,
                <#name as _outbox::support::EventSet>::RETIRED,
                #index,
            );
        }
    });
    // Output:
    //     const __RETIRED: &[&str] = &["`MoodEntry` handles this event type, ..", ..];
    //     const _: () = _outbox::__private::assert_retired(LumeEvent::__STORED_TYPES, __RETIRED,
    //         <LumeEvent as EventSet>::RETIRED, 0usize);
    quote! {
        const __RETIRED: &[&::core::primitive::str] = &[#(#messages),*];
        #(#assertions)*
    }
}

/// The variant's event type, as an expression and as a pattern.
pub(super) fn event_type(variant: &Variant<'_>) -> TokenStream {
    // Output: _outbox::__private::Member::<MoodEntry>::EVENT_TYPE
    member(variant, "EVENT_TYPE")
}

/// A runtime function for the variant's entity.
pub(super) fn member(variant: &Variant<'_>, item: &str) -> TokenStream {
    let entity = variant.entity;
    let span = at(entity.span());
    let item = Ident::new(item, span);
    // Output: _outbox::__private::Member::<MoodEntry>::event
    quote_spanned!(span=> _outbox::__private::Member::<#entity>::#item)
}

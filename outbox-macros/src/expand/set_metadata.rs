//! The enum `<Set>Metadata`: the metadata of any event, for code that handles events of every type.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::docs::Links;
use super::events::{event_type, member};
use super::{at, derived_name, style};
use crate::model::{EventSet, Variant};

/// The enum, with `Generic` for event types outside of the set.
pub(super) fn enum_item(set: &EventSet<'_>, runtime: &TokenStream) -> TokenStream {
    let name = &set.input.ident;
    let vis = &set.input.vis;
    let enum_name = derived_name(name, "Metadata");
    let summary =
        format!("The metadata of any event of [`{name}`], and of events outside of the set.");
    let variants = set.variants.iter().map(|variant| {
        let Variant { ident, entity, .. } = variant;
        let summary = format!("The metadata of a [`{ident}`]({name}::{ident}) event.");
        let metadata =
            quote_spanned!(at(entity.span())=> <#entity as #runtime::OutboxEntity>::Metadata);
        quote!(#[doc = #summary] #ident(#metadata))
    });
    let names = set.variants.iter().map(|variant| variant.ident);
    let silence = style::silence(names.chain([&enum_name]), []);
    // Output:
    //     pub enum LumeEventMetadata {
    //         MoodEntry(<MoodEntry as ::outbox_runtime::OutboxEntity>::Metadata),
    //         Generic(BTreeMap<String, String>),
    //     }
    quote! {
        #[doc = #summary]
        ///
        /// In JSON it is tagged with the event type and has the newest version; rows, which record
        /// their version, are read by `decode`. `Debug` shows only the variant: payloads do not
        /// belong in logs.
        #[allow(deprecated)]
        #silence
        #vis enum #enum_name {
            #(#variants,)*
            /// The metadata of an event whose type is not in the set.
            Generic(::std::collections::BTreeMap<::std::string::String, ::std::string::String>),
        }
    }
}

/// `decode`, `Debug`, `Serialize` and `Deserialize` for the enum.
pub(super) fn impls(set: &EventSet<'_>) -> TokenStream {
    [decode(set), debug(set), serialize(set), deserialize(set)]
        .into_iter()
        .collect()
}

fn decode(set: &EventSet<'_>) -> TokenStream {
    let stored_types = stored_types(set);
    let vis = &set.input.vis;
    let enum_name = derived_name(&set.input.ident, "Metadata");
    let arms = set.variants.iter().map(|variant| {
        let Variant { ident, entity, .. } = variant;
        let (event_type, metadata) = (event_type(variant), member(variant, "metadata"));
        quote_spanned!(at(entity.span())=> #event_type => #metadata(record, Self::#ident))
    });
    let summary = format!(
        "Decodes the metadata of a row; a type outside of [`{}`] is [`Generic`](Self::Generic).",
        set.input.ident
    );
    let errors = format!(
        "{} if the metadata is missing, damaged or of another shape.",
        Links::new(set.krate.as_ref()).to("DecodeError")
    );
    // Output:
    //     impl LumeEventMetadata {
    //         pub fn decode(record: &_outbox::OutboxEvent) -> Result<Self, _outbox::DecodeError> {
    //             match current_type(&record.event_type, LumeEvent::__STORED_TYPES) {
    //                 Member::<MoodEntry>::EVENT_TYPE => Member::<MoodEntry>::metadata(record,
    //                     Self::MoodEntry),
    //                 _ => generic_metadata(record).map(Self::Generic),
    //             }
    //         }
    //     }
    quote! {
        impl #enum_name {
            #[doc = #summary]
            ///
            /// # Errors
            ///
            #[doc = #errors]
            #vis fn decode(
                record: &_outbox::OutboxEvent,
            ) -> ::core::result::Result<Self, _outbox::DecodeError> {
                match _outbox::__private::current_type(
                    &record.event_type,
                    #stored_types,
                ) {
                    #(#arms,)*
                    _ => _outbox::__private::generic_metadata(record).map(Self::Generic),
                }
            }
        }
    }
}

fn debug(set: &EventSet<'_>) -> TokenStream {
    let enum_name = derived_name(&set.input.ident, "Metadata");
    let arms = set.variants.iter().map(|variant| {
        let Variant { ident, entity, .. } = variant;
        let name = ident.to_string();
        quote_spanned!(at(entity.span())=> Self::#ident(_) => #name)
    });
    // Output:
    //     impl Debug for LumeEventMetadata {
    //         fn fmt(&self, __f: &mut Formatter<'_>) -> fmt::Result {
    //             __f.write_str(match self { Self::MoodEntry(_) => "MoodEntry",
    //                 Self::Generic(_) => "Generic" })
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl ::core::fmt::Debug for #enum_name {
            fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                __f.write_str(match self {
                    #(#arms,)*
                    Self::Generic(_) => "Generic",
                })
            }
        }
    }
}

fn serialize(set: &EventSet<'_>) -> TokenStream {
    let enum_name = derived_name(&set.input.ident, "Metadata");
    let arms = set.variants.iter().map(|variant| {
        let Variant { ident, entity, .. } = variant;
        let serialize = member(variant, "serialize");
        quote_spanned! {at(entity.span())=>
            Self::#ident(__metadata) => #serialize(__serializer, __metadata)
        }
    });
    // Output:
    //     impl Serialize for LumeEventMetadata {
    //         fn serialize<__S: Serializer>(&self, __serializer: __S) -> Result<__S::Ok,
    //             __S::Error> {
    //             match self {
    //                 Self::MoodEntry(__metadata) => Member::<MoodEntry>::serialize(__serializer,
    //                     __metadata),
    //                 Self::Generic(__metadata) => serialize_generic(__serializer, __metadata),
    //             }
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl _outbox::__private::serde::Serialize for #enum_name {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                match self {
                    #(#arms,)*
                    Self::Generic(__metadata) => {
                        _outbox::__private::serialize_generic(__serializer, __metadata)
                    }
                }
            }
        }
    }
}

fn deserialize(set: &EventSet<'_>) -> TokenStream {
    let stored_types = stored_types(set);
    let enum_name = derived_name(&set.input.ident, "Metadata");
    let arms = set.variants.iter().map(|variant| {
        let Variant { ident, entity, .. } = variant;
        let (event_type, deserialize) = (event_type(variant), member(variant, "deserialize"));
        quote_spanned!(at(entity.span())=> #event_type => #deserialize(__tagged, Self::#ident))
    });
    // Output:
    //     impl<'de> Deserialize<'de> for LumeEventMetadata {
    //         fn deserialize<__D: Deserializer<'de>>(__deserializer: __D) -> Result<Self,
    //             __D::Error> {
    //             let __tagged = Tagged::read(__deserializer)?;
    //             match current_type(&__tagged.tag, LumeEvent::__STORED_TYPES) {
    //                 Member::<MoodEntry>::EVENT_TYPE =>
    //                     Member::<MoodEntry>::deserialize(__tagged, Self::MoodEntry),
    //                 _ => __tagged.into_generic().map(Self::Generic),
    //             }
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl<'de> _outbox::__private::serde::Deserialize<'de> for #enum_name {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                let __tagged = _outbox::__private::Tagged::read(__deserializer)?;
                match _outbox::__private::current_type(&__tagged.tag, #stored_types) {
                    #(#arms,)*
                    _ => __tagged.into_generic().map(Self::Generic),
                }
            }
        }
    }
}

/// The event types of the set, as its metadata finds the variant of a stored one.
fn stored_types(set: &EventSet<'_>) -> TokenStream {
    let name = &set.input.ident;
    match set.input.generics.params.is_empty() {
        true => quote!(#name::__STORED_TYPES),
        // A generic set is refused, and without its parameters the name alone would not compile.
        false => quote!(&[]),
    }
}

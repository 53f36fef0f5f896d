//! Stand-ins for code that could not be generated, so that one mistake is one error: every name
//! that the rest of the program may use exists, with the right types if known.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Generics, Ident};

use super::metadata::struct_name;
use super::{events, generics, in_const, runtime};
use crate::attr::{EntitySource, ErrorSource, IdSource};
use crate::model::{EventSet, Metadata, MetadataFields};

/// The errors of an entity, and an impl with unreachable bodies, because the program does not
/// build.
pub(super) fn entity(source: &EntitySource<'_>, errors: &Error) -> TokenStream {
    let errors = errors.to_compile_error();
    let runtime = runtime(source.attrs.krate.as_ref().map(|krate| &krate.value));
    let metadata = metadata_struct(source);
    let hidden = in_const(
        &runtime,
        &[
            trait_impl(source),
            enqueue_methods(source),
            serde_impls(source),
        ],
    );
    quote!(#errors #metadata #hidden)
}

/// The errors of a set, and the code of its well-formed variants.
pub(super) fn events(mut set: EventSet<'_>, errors: &Error) -> TokenStream {
    let errors = errors.to_compile_error();
    set.retain_expandable();
    let items = events::items(&set);
    quote!(#errors #items)
}

/// The errors of an error type, and an unreachable impl, so that `?` in handlers still finds one.
pub(super) fn delivery_error(source: &ErrorSource<'_>, errors: &Error) -> TokenStream {
    let errors = errors.to_compile_error();
    let runtime = runtime(source.krate.as_ref().map(|krate| &krate.value));
    let body = quote!(::core::unreachable!());
    let item = super::delivery_error::trait_impl(source.input, std::iter::empty(), &body, None);
    let hidden = in_const(&runtime, &[item]);
    quote!(#errors #hidden)
}

/// The errors of an id type, and unreachable impls, so that it still is an id.
pub(super) fn id(source: &IdSource<'_>, errors: &Error) -> TokenStream {
    let errors = errors.to_compile_error();
    let body = quote!(::core::unreachable!());
    let items = super::id_type::impls(source, &body, &body, Vec::new());
    quote!(#errors #items)
}

/// Whether the entity itself is the metadata.
fn is_snapshot(source: &EntitySource<'_>) -> bool {
    matches!(Metadata::from_source(source), Metadata::Snapshot(_))
}

/// The known fields of the metadata.
fn metadata_fields<'a>(source: &EntitySource<'a>) -> MetadataFields<'a> {
    let borrows = source.input.generics.lifetimes().next().is_some();
    match Metadata::from_source(source) {
        Metadata::Fields(metadata) if !borrows => metadata,
        Metadata::Fields(_) | Metadata::Snapshot(_) => MetadataFields {
            fields: Vec::new(),
            generics: Generics::default(),
            rename_all: None,
        },
    }
}

/// The metadata's type, for code outside of its impl.
fn metadata_type(source: &EntitySource<'_>) -> TokenStream {
    let name = metadata_name(source);
    let metadata = metadata_fields(source);
    let (_, type_generics, _) = metadata.generics.split_for_impl();
    quote!(#name #type_generics)
}

fn metadata_name(source: &EntitySource<'_>) -> Ident {
    let given = source.attrs.metadata.as_ref().map(|given| &given.value);
    struct_name(&source.input.ident, given)
}

fn metadata_struct(source: &EntitySource<'_>) -> TokenStream {
    let struct_name = metadata_name(source);
    let vis = &source.input.vis;
    let metadata = metadata_fields(source);
    let params = &metadata.generics.params;
    let params = (!params.is_empty()).then(|| quote!(<#params>));
    let where_clause = &metadata.generics.where_clause;
    let fields = metadata.fields.iter().map(|field| {
        let (ident, ty) = (field.ident, field.ty);
        quote!(#[doc(hidden)] #vis #ident: #ty)
    });
    // Output:
    //     pub struct MoodEntryMetadata { pub valence: f64 }
    quote! {
        #[doc(hidden)]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #vis struct #struct_name #params #where_clause {
            #(#fields,)*
        }
    }
}

fn trait_impl(source: &EntitySource<'_>) -> TokenStream {
    let name = &source.input.ident;
    let (impl_generics, type_generics, _) = source.input.generics.split_for_impl();
    // Two faulty entities of a set must stay distinct.
    let event_type = name.to_string();
    let metadata_type = if is_snapshot(source) {
        quote!(Self)
    } else {
        metadata_type(source)
    };
    let mut more = vec![quote!(Self: 'static)];
    if source.input.generics.type_params().next().is_some() {
        more.push(quote!(#metadata_type: _outbox::support::MetadataValue));
    }
    let where_clause = generics::where_clause(&source.input.generics, more);
    // Output:
    //     impl _outbox::OutboxEntity for MoodEntry where Self: 'static {
    //         type Metadata = MoodEntryMetadata;
    //         const EVENT_TYPE: &'static str = "MoodEntry";
    //         fn entity_id(&self) -> _outbox::EntityId { unreachable!() }
    //         ..
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::OutboxEntity for #name #type_generics #where_clause {
            type Metadata = #metadata_type;
            const EVENT_TYPE: &'static ::core::primitive::str = #event_type;
            const OPTIONS: _outbox::support::EntityOptions = _outbox::support::EntityOptions::new(#event_type);
            const SENSITIVE: _outbox::support::Sensitive = _outbox::support::Sensitive::Nothing;
            fn entity_id(&self) -> _outbox::EntityId {
                ::core::unreachable!()
            }
            fn user_id(&self) -> ::std::borrow::Cow<'_, ::core::primitive::str> {
                ::core::unreachable!()
            }
            fn metadata_json(
                &self,
            ) -> ::core::result::Result<_outbox::RawMetadata, _outbox::__private::JsonError> {
                ::core::unreachable!()
            }
        }
    }
}

fn enqueue_methods(source: &EntitySource<'_>) -> TokenStream {
    let name = &source.input.ident;
    let vis = &source.input.vis;
    let (impl_generics, type_generics, where_clause) = source.input.generics.split_for_impl();
    let mut fields = source.fields.iter();
    let is_known = source.attrs.user_id.is_some() || fields.any(|it| it.attrs.user_id.is_some());
    // A missing user may just be misspelled, so both uses of the change compile.
    let user = (!is_known).then(|| quote!(<_outbox::__private::AnyUser>));
    let methods = [
        "enqueue_create",
        "enqueue_sync",
        "enqueue_update",
        "enqueue_delete",
    ]
    .map(|name| {
        let method = format_ident!("{name}");
        quote! {
            #[doc(hidden)]
            #vis fn #method(&self) -> _outbox::Enqueue #user {
                ::core::unreachable!()
            }
        }
    });
    // Output:
    //     impl MoodEntry { pub fn enqueue_create(&self) -> _outbox::Enqueue { unreachable!() } .. }
    quote! {
        impl #impl_generics #name #type_generics #where_clause {
            #(#methods)*
        }
    }
}

fn serde_impls(source: &EntitySource<'_>) -> TokenStream {
    let type_path = metadata_type(source);
    let metadata = metadata_fields(source);
    let (impl_generics, _, where_clause) = metadata.generics.split_for_impl();
    let params = generics::without_defaults(&metadata.generics);
    // Output:
    //     impl Serialize for MoodEntryMetadata { fn serialize<..>(..) -> .. { unreachable!() } }
    //     impl<'de> Deserialize<'de> for MoodEntryMetadata { fn deserialize<..>(..) -> .. {
    //         unreachable!() } }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::__private::serde::Serialize for #type_path #where_clause {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                _: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                ::core::unreachable!()
            }
        }
        #[automatically_derived]
        impl<'de, #(#params,)*> _outbox::__private::serde::Deserialize<'de> for #type_path #where_clause {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                _: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                ::core::unreachable!()
            }
        }
    }
}

//! Metadata whose form the user's `#[serde(..)]` decides: serde's own derives follow it exactly.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::{generics, style};
use crate::model::{Entity, Member, MetadataFields};

/// `Serialize` and `Deserialize` for the metadata struct, by way of serde's remote derive.
///
/// The derives are placed where the runtime is `_outbox`. On the struct itself they would need its
/// path as a string, in which `$crate` has no meaning.
pub(super) fn impls(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let type_path = super::type_path(entity);
    let remote = super::type_name(entity).to_string();
    let (impl_generics, type_generics, _) = metadata.generics.split_for_impl();
    let params = generics::without_defaults(&metadata.generics);
    let where_clause = generics::of_metadata(metadata);
    let bound = bound(where_clause.as_ref());
    let silence = silence(metadata);
    let rename_all = metadata.rename_all.iter();
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let serde = field.serde();
        quote!(#(#serde)* #ident: #ty)
    });
    // Output:
    //     #[derive(_outbox::__private::serde::Serialize, _outbox::__private::serde::Deserialize)]
    //     #[serde(crate = "_outbox::__private::serde", remote = "MoodEntryMetadata",
    //         rename_all = "camelCase")]
    //     struct __Metadata { valence: f64, labels: Vec<String> }
    //     impl Serialize for MoodEntryMetadata { fn serialize<__S>(..) -> .. {
    //         __Metadata::serialize(self, __serializer) } }
    //     impl<'de> Deserialize<'de> for MoodEntryMetadata { fn deserialize<__D>(..) -> .. {
    //         __Metadata::deserialize(__deserializer) } }
    quote! {
        #[derive(_outbox::__private::serde::Serialize, _outbox::__private::serde::Deserialize)]
        #[serde(crate = "_outbox::__private::serde", remote = #remote #bound #(, #rename_all)*)]
        #silence
        struct __Metadata #impl_generics #where_clause {
            #(#fields,)*
        }

        #[automatically_derived]
        impl #impl_generics _outbox::__private::serde::Serialize for #type_path #where_clause {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                <__Metadata #type_generics>::serialize(self, __serializer)
            }
        }

        #[automatically_derived]
        impl<'de, #(#params,)*> _outbox::__private::serde::Deserialize<'de> for #type_path #where_clause {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                <__Metadata #type_generics>::deserialize(__deserializer)
            }
        }
    }
}

/// A twin of the metadata struct that borrows from the entity, by way of serde's remote derive.
pub(super) fn json(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let (impl_generics, ..) = entity.generics.split_for_impl();
    let where_clause = generics::of_metadata_in(metadata, entity.generics);
    let bound = bound(where_clause.as_ref());
    let silence = silence(metadata);
    // Serde gives it the twin's parameters.
    let remote = entity.name.to_string();
    // Unused parameters.
    let unused = generics::marker(entity.generics);
    let rename_all = metadata.rename_all.iter();
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let serde = field.serde();
        quote!(#(#serde)* #ident: #ty)
    });
    // Output:
    //     #[derive(_outbox::__private::serde::Serialize)]
    //     #[serde(crate = "_outbox::__private::serde", remote = "MoodEntry", rename_all =
    //         "camelCase")]
    //     struct __Borrowed { valence: f64, labels: Vec<String> }
    //     _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    quote! {
        #[derive(_outbox::__private::serde::Serialize)]
        #[serde(crate = "_outbox::__private::serde", remote = #remote #bound #(, #rename_all)*)]
        #silence
        struct __Borrowed #impl_generics #where_clause {
            #(#fields,)*
            #unused
        }
        _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    }
}

fn silence(metadata: &MetadataFields<'_>) -> Option<TokenStream> {
    style::silence([], metadata.fields.iter().map(|field| field.ident))
}

/// Has serde require the struct's own bounds and nothing else: for `<T as Owner>::Id` it would
/// require `T: Serialize`.
fn bound(where_clause: Option<&TokenStream>) -> Option<TokenStream> {
    where_clause.map(|_| quote!(, bound = ""))
}

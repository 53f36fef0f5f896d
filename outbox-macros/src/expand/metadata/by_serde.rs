//! Metadata whose form the user's `#[serde(..)]` decides about: serde's own derives, so that they are followed exactly.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::generics;
use crate::model::{Entity, Member, MetadataFields};

/// What makes serde's derives write and read the struct.
pub(super) fn derives(metadata: &MetadataFields<'_>, runtime: &TokenStream) -> TokenStream {
    let serde = quote!(#runtime::__private::serde);
    let path = serde.to_string();
    let rename_all = metadata.rename_all.iter();
    // Output:
    //     #[derive(::outbox_runtime::__private::serde::Serialize, ..::Deserialize)]
    //     #[serde(crate = "::outbox_runtime::__private::serde", rename_all = "camelCase")]
    quote! {
        #[derive(#serde::Serialize, #serde::Deserialize)]
        #[serde(crate = #path #(, #rename_all)*)]
    }
}

/// The body of `hide_sensitive`.
pub(super) fn hide(entity: &Entity<'_>) -> TokenStream {
    let fields = entity.metadata.fields().iter();
    let idents = fields
        .filter(|field| field.sensitive.is_some())
        .map(|field| field.ident);
    // Output: __redaction.hide(&__metadata.notes);
    quote!(#(__redaction.hide(&__metadata.#idents);)*)
}

/// A twin of the metadata struct that borrows from the entity, by way of serde's remote derive.
pub(super) fn json(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let (impl_generics, _, where_clause) = entity.generics.split_for_impl();
    // Serde gives it the parameters of the twin.
    let remote = entity.name.to_string();
    // Parameters that the fields do not use.
    let unused = generics::marker(entity.generics);
    let rename_all = metadata.rename_all.iter();
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let serde = field.serde();
        quote!(#(#serde)* #ident: #ty)
    });
    // Output:
    //     #[derive(_outbox::__private::serde::Serialize)]
    //     #[serde(crate = "_outbox::__private::serde", remote = "MoodEntry", rename_all = "camelCase")]
    //     struct __Borrowed { valence: f64, labels: Vec<String> }
    //     _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    quote! {
        #[derive(_outbox::__private::serde::Serialize)]
        #[serde(crate = "_outbox::__private::serde", remote = #remote #(, #rename_all)*)]
        struct __Borrowed #impl_generics #where_clause {
            #(#fields,)*
            #unused
        }
        _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    }
}

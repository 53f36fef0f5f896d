//! The struct `<Entity>Metadata`, and the JSON of an entity's metadata.
//!
//! Usually the runtime's helpers write and read it, which costs the compiler a fraction of what serde's derives do.
//! Where the user's `#[serde(..)]` decides about the form, serde's derives are used.

mod by_serde; // serde's derives
mod fields; // the runtime's helpers

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, Visibility};

use super::{at, derived_name, of_generated_code, style};
use crate::model::{Entity, Member, Metadata};

/// What stands for the type `Metadata` in the impl.
pub(super) fn associated_type(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Snapshot(_) => quote_spanned!(at(entity.name.span())=> Self),
        Metadata::Fields(_) => type_path(entity),
    }
}

/// The metadata's type, to be named where `Self` is not it.
pub(super) fn type_path(entity: &Entity<'_>) -> TokenStream {
    let name = type_name(entity);
    let (_, type_generics, _) = match &entity.metadata {
        Metadata::Snapshot(_) => entity.generics.split_for_impl(),
        Metadata::Fields(metadata) => metadata.generics.split_for_impl(),
    };
    // Output: TaggedMetadata<T>
    quote!(#name #type_generics)
}

/// The metadata's type without its parameters.
pub(super) fn type_name(entity: &Entity<'_>) -> Ident {
    match &entity.metadata {
        Metadata::Snapshot(_) => of_generated_code(entity.name),
        Metadata::Fields(_) => struct_name(entity.name, entity.metadata_name.as_ref()),
    }
}

/// The name of the struct that is generated.
pub(super) fn struct_name(entity: &Ident, given: Option<&Ident>) -> Ident {
    given.map_or_else(|| derived_name(entity, "Metadata"), of_generated_code)
}

/// The struct that handlers read; nothing for a snapshot.
pub(super) fn struct_item(entity: &Entity<'_>) -> Option<TokenStream> {
    let Metadata::Fields(metadata) = &entity.metadata else {
        return None;
    };
    let Entity { name, vis, .. } = entity;
    let struct_name = type_name(entity);
    let params = &metadata.generics.params;
    let params = (!params.is_empty()).then(|| quote!(<#params>));
    let where_clause = &metadata.generics.where_clause;
    let summary = format!(
        "What an event of [`{name}`] carries: its metadata as it was when the event was enqueued."
    );
    // Otherwise it is written so that it leaves out what is sensitive.
    let debug = entity
        .metadata
        .sensitive()
        .is_none()
        .then(|| quote!(, ::core::fmt::Debug));
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let docs = docs(field);
        let vis = vis_at(field.vis, ident);
        quote!(#docs #vis #ident: #ty)
    });
    let silence = style::silence(
        [&struct_name],
        metadata.fields.iter().map(|field| field.ident),
    );
    // Output:
    //     #[derive(Clone, Debug)]
    //     pub struct MoodEntryMetadata {
    //         pub valence: f64,
    //         pub labels: Vec<String>,
    //     }
    Some(quote! {
        #[doc = #summary]
        #[allow(deprecated)]
        #silence
        #[derive(::core::clone::Clone #debug)]
        #vis struct #struct_name #params #where_clause {
            #(#fields,)*
        }
    })
}

/// A field's visibility at the place of its name, so that an error about the field does not underline half the struct.
fn vis_at(vis: &Visibility, field: &Ident) -> TokenStream {
    let tokens = vis.to_token_stream().into_iter();
    tokens
        .map(|mut token| {
            token.set_span(field.span());
            token
        })
        .collect()
}

/// What the user wrote about the field, or its name.
fn docs(field: &Member<'_>) -> TokenStream {
    let written = field.docs();
    let mut docs = quote!(#(#written)*);
    if docs.is_empty() {
        let summary = format!("The entity's `{}`.", field.ident.unraw());
        docs = quote!(#[doc = #summary]);
    }
    docs
}

/// The body of `metadata_json`, from the fields where they are.
pub(super) fn json(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        // Output: _outbox::__private::snapshot::<Self>(self)
        Metadata::Snapshot(_) => quote!(_outbox::__private::snapshot::<Self>(self)),
        Metadata::Fields(metadata) if metadata.is_left_to_serde() => {
            by_serde::json(entity, metadata)
        }
        Metadata::Fields(metadata) => fields::json(entity, metadata),
    }
}

/// `Serialize` and `Deserialize` for the struct.
pub(super) fn serde_impls(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Snapshot(_) => TokenStream::new(),
        Metadata::Fields(metadata) if metadata.is_left_to_serde() => {
            by_serde::impls(entity, metadata)
        }
        Metadata::Fields(metadata) => fields::impls(entity, metadata),
    }
}

//! The struct `<Entity>Metadata`, and the JSON of an entity's metadata.
//!
//! Usually the runtime's helpers write and read it, which costs the compiler a fraction of what serde's derives do.
//! Where the user's `#[serde(..)]` decides about the form, serde's derives are used.

mod by_serde; // serde's derives
mod fields; // the runtime's helpers

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, Visibility};

use super::{at, derived_name, generics, of_generated_code, style};
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

/// The metadata's type without its parameters, as generated code names it.
///
/// It is not the name that the user knows, which is an alias of this one: should a type of the user's have that already, the alias is
/// refused, and nothing else. Under the user's name each of the impls would be some errors more, as they would be taken for impls of the
/// user's type.
pub(super) fn type_name(entity: &Entity<'_>) -> Ident {
    let known_as = known_as(entity);
    match &entity.metadata {
        Metadata::Snapshot(_) => known_as,
        Metadata::Fields(_) => format_ident!("{known_as}_", span = known_as.span()),
    }
}

/// The name of the metadata's type that the user knows.
pub(super) fn known_as(entity: &Entity<'_>) -> Ident {
    match &entity.metadata {
        Metadata::Snapshot(_) => of_generated_code(entity.name),
        Metadata::Fields(_) => struct_name(entity.name, entity.metadata_name.as_ref()),
    }
}

/// The name of the struct that is generated, to those who use it.
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
    let known_as = known_as(entity);
    let params = &metadata.generics.params;
    let params = (!params.is_empty()).then(|| quote!(<#params>));
    let where_clause = &metadata.generics.where_clause;
    let (_, type_generics, _) = metadata.generics.split_for_impl();
    let alias_params = generics::without_bounds(&metadata.generics);
    let summary = format!(
        "What an event of [`{name}`] carries: its metadata as it was when the event was enqueued."
    );
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let docs = docs(field);
        let vis = vis_at(field.vis, ident);
        quote!(#docs #vis #ident: #ty)
    });
    // An underscore at the end is as good as none.
    let silence = style::silence([&known_as], metadata.fields.iter().map(|field| field.ident));
    let silence_of_alias = style::silence([&known_as], []);
    // Output:
    //     #[derive(Clone)]
    //     pub struct MoodEntryMetadata_ {
    //         pub valence: f64,
    //         pub labels: Vec<String>,
    //     }
    //     pub type MoodEntryMetadata = MoodEntryMetadata_;
    Some(quote! {
        #[doc = #summary]
        #[allow(deprecated)]
        #silence
        #[derive(::core::clone::Clone)]
        #vis struct #struct_name #params #where_clause {
            #(#fields,)*
        }
        #[doc = #summary]
        #silence_of_alias
        #vis type #known_as #alias_params = #struct_name #type_generics;
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

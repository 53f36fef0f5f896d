//! The struct `<Entity>Metadata`, and the JSON of an entity's metadata.
//!
//! Usually the runtime's helpers serialize it, at a fraction of the compile time of serde's
//! derives. If the user's `#[serde(..)]` decides about the form, serde's derives are used.

mod by_serde; // serde's derives
mod fields; // the runtime's helpers

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, Visibility};

use super::{at, derived_name, generics, of_generated_code, style};
use crate::model::{Entity, Member, Metadata};

/// The type `Metadata` in the impl.
pub(super) fn associated_type(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Snapshot(_) => quote_spanned!(at(entity.name.span())=> Self),
        Metadata::Fields(_) => type_path(entity),
    }
}

/// The metadata's type, for code outside of its impl.
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
/// It differs from the name that the user knows, which is an alias of this one: if the user already
/// has a type of that name, the alias is the only error. Under the user's name each impl would
/// cause more errors, because it would be taken for an impl of the user's type.
pub(super) fn type_name(entity: &Entity<'_>) -> Ident {
    let known_as = known_as(entity);
    match &entity.metadata {
        Metadata::Snapshot(_) => known_as,
        Metadata::Fields(_) => format_ident!("{known_as}_", span = known_as.span()),
    }
}

/// The metadata's type name that the user knows.
pub(super) fn known_as(entity: &Entity<'_>) -> Ident {
    match &entity.metadata {
        Metadata::Snapshot(_) => of_generated_code(entity.name),
        Metadata::Fields(_) => struct_name(entity.name, entity.metadata_name.as_ref()),
    }
}

/// The public name of the generated struct.
pub(super) fn struct_name(entity: &Ident, given: Option<&Ident>) -> Ident {
    given.map_or_else(|| derived_name(entity, "Metadata"), of_generated_code)
}

/// The struct that handlers read; none for a snapshot.
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
    let summary = format!("The metadata of a [`{name}`] event, as of the time it was enqueued.");
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let docs = docs(field);
        let vis = vis_at(field.vis, ident);
        quote!(#docs #vis #ident: #ty)
    });
    // A trailing underscore does not matter.
    let silence = style::silence([&known_as], metadata.fields.iter().map(|field| field.ident));
    let clone = (!metadata.is_shown()).then(|| quote!(#[derive(::core::clone::Clone)]));
    let silence_of_alias = style::silence([&known_as], []);
    // Output:
    //     pub struct MoodEntryMetadata_ {
    //         pub valence: f64,
    //         pub labels: Vec<String>,
    //     }
    //     pub type MoodEntryMetadata = MoodEntryMetadata_;
    Some(quote! {
        #[doc = #summary]
        #[allow(deprecated)]
        #silence
        #clone
        #vis struct #struct_name #params #where_clause {
            #(#fields,)*
        }
        #[doc = #summary]
        #silence_of_alias
        #vis type #known_as #alias_params = #struct_name #type_generics;
    })
}

/// A field's visibility with the span of its name, so that an error does not underline half the
/// struct.
fn vis_at(vis: &Visibility, field: &Ident) -> TokenStream {
    let tokens = vis.to_token_stream().into_iter();
    tokens
        .map(|mut token| {
            token.set_span(field.span());
            token
        })
        .collect()
}

/// The user's documentation of the field, or its name.
fn docs(field: &Member<'_>) -> TokenStream {
    let written = field.docs();
    let mut docs = quote!(#(#written)*);
    if docs.is_empty() {
        let summary = format!("The entity's `{}`.", field.ident.unraw());
        docs = quote!(#[doc = #summary]);
    }
    docs
}

/// The body of `metadata_json`, from the entity's own fields.
pub(super) fn json(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        // Output: _outbox::__private::snapshot::<Self>(self)
        Metadata::Snapshot(_) => quote!(_outbox::__private::snapshot::<Self>(self)),
        Metadata::Fields(metadata) if metadata.uses_serde_derives() => {
            by_serde::json(entity, metadata)
        }
        Metadata::Fields(metadata) => fields::json(entity, metadata),
    }
}

/// `Serialize` and `Deserialize` for the struct.
pub(super) fn serde_impls(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Snapshot(_) => TokenStream::new(),
        Metadata::Fields(metadata) if metadata.uses_serde_derives() => {
            by_serde::impls(entity, metadata)
        }
        Metadata::Fields(metadata) => fields::impls(entity, metadata),
    }
}

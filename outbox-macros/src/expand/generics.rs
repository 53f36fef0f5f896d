//! The bounds on the parameters of a generic entity in its generated impls.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{GenericParam, Generics, Ident, Type};

use crate::model::{Entity, Id, Member, Metadata, MetadataFields};
use crate::parameters;

/// The `where` of `impl OutboxEntity`: an event is sent from any thread, at any time, and by
/// another process.
pub(super) fn of_entity(entity: &Entity<'_>) -> Option<TokenStream> {
    let generics = entity.generics;
    let names: Vec<&Ident> = generics.type_params().map(|param| &param.ident).collect();
    if names.is_empty() {
        return where_clause(generics, Vec::new());
    }
    let (open, whole) = match &entity.metadata {
        Metadata::Snapshot(_) => (
            Vec::new(),
            Some(quote!(Self: _outbox::support::MetadataValue)),
        ),
        Metadata::Fields(metadata) => (required_by(metadata, generics), None),
    };
    let is_open = |name: &Ident| open.iter().any(|ty| *name == ty.to_string());
    let others = names.iter().filter(|name| !is_open(name));
    let ids = [
        id(Some(&entity.entity_id), &names, &quote!(AsEntityId)),
        id(entity.user_id.as_ref(), &names, &quote!(AsUserId)),
    ];
    // Output:
    //     where
    //         T: _outbox::support::MetadataValue,
    //         U: 'static,
    //         Key<U>: _outbox::support::AsEntityId,
    let more = open
        .iter()
        .map(|ty| quote!(#ty: _outbox::support::MetadataValue))
        .chain(others.map(|name| quote!(#name: 'static)))
        .chain(ids.into_iter().flatten())
        .chain(whole);
    where_clause(generics, more.collect())
}

/// The `where` of the serialization of the metadata struct.
pub(super) fn of_metadata(metadata: &MetadataFields<'_>) -> Option<TokenStream> {
    of_metadata_in(metadata, &metadata.generics)
}

/// The same for items with all parameters of the entity.
pub(super) fn of_metadata_in(
    metadata: &MetadataFields<'_>,
    generics: &Generics,
) -> Option<TokenStream> {
    let open = required_by(metadata, generics);
    // Output: where T: _outbox::support::MetadataValue
    let more = open
        .iter()
        .map(|ty| quote!(#ty: _outbox::support::MetadataValue));
    where_clause(generics, more.collect())
}

/// The `where` of an impl that requires `bound` of some of the fields.
pub(super) fn of_fields<'a>(
    generics: &Generics,
    fields: impl Iterator<Item = &'a Member<'a>>,
    bound: &TokenStream,
) -> Option<TokenStream> {
    let names: Vec<&Ident> = generics.type_params().map(|param| &param.ident).collect();
    let types = fields
        .map(|field| field.ty)
        .filter(|ty| parameters::mentions(*ty, &names));
    // Output: where Vec<T>: Debug
    where_clause(generics, types.map(|ty| quote!(#ty: #bound)).collect())
}

/// The struct's own bounds, and more.
pub(super) fn where_clause(generics: &Generics, more: Vec<TokenStream>) -> Option<TokenStream> {
    let written = generics.where_clause.iter();
    let mut predicates: Vec<TokenStream> = written
        .flat_map(|clause| &clause.predicates)
        .map(ToTokens::to_token_stream)
        .collect();
    predicates.extend(more);
    (!predicates.is_empty()).then(|| quote!(where #(#predicates,)*))
}

/// The parameters of an alias of the struct, which may have no bounds.
pub(super) fn without_bounds(generics: &Generics) -> Option<TokenStream> {
    let mut params = generics.params.clone();
    for param in &mut params {
        match param {
            GenericParam::Type(param) => param.bounds.clear(),
            GenericParam::Lifetime(param) => param.bounds.clear(),
            GenericParam::Const(_) => {}
        }
    }
    // Output: <T = u8, const N: usize>
    (!params.is_empty()).then(|| quote!(<#params>))
}

/// A field that uses every type parameter and is never serialized, if there are any.
pub(super) fn marker(generics: &Generics) -> Option<TokenStream> {
    let mut names = generics.type_params().map(|param| &param.ident).peekable();
    names.peek()?;
    // Output: #[serde(skip)] __parameters: (PhantomData<T>, PhantomData<U>,),
    Some(quote! {
        #[serde(skip)]
        __parameters: (#(::core::marker::PhantomData<#names>,)*),
    })
}

/// The parameters as an impl declares them.
pub(super) fn without_defaults(generics: &Generics) -> impl Iterator<Item = GenericParam> {
    generics.params.iter().cloned().map(|mut param| {
        match &mut param {
            GenericParam::Type(param) => param.default = None,
            GenericParam::Const(param) => param.default = None,
            GenericParam::Lifetime(_) => {}
        }
        param
    })
}

/// Requires that the id's type is an id, if that depends on a parameter.
fn id(id: Option<&Id<'_>>, names: &[&Ident], conversion: &TokenStream) -> Option<TokenStream> {
    let Some(Id::Field(Member { ty, .. })) = id else {
        return None;
    };
    parameters::mentions(*ty, names).then(|| quote!(#ty: _outbox::support::#conversion))
}

fn required_by(metadata: &MetadataFields<'_>, generics: &Generics) -> Vec<TokenStream> {
    let types: Vec<&Type> = metadata.fields.iter().map(|field| field.ty).collect();
    parameters::required_by(generics, &types)
}

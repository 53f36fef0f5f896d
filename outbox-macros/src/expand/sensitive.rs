//! Hides `#[outbox(sensitive)]` fields from `Debug` and from messages.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::{at, generics, metadata};
use crate::model::{Entity, Member, Metadata};

/// `Debug` of the metadata, under its public name, unless the runtime's helpers provide it.
///
/// A snapshot has the user's own `Debug`, unless it has sensitive fields, in which case the user
/// cannot derive it.
pub(super) fn debug(entity: &Entity<'_>) -> Option<TokenStream> {
    let sensitive = entity.metadata.sensitive();
    if sensitive.is_none() && matches!(entity.metadata, Metadata::Snapshot(_)) {
        return None;
    }
    if matches!(&entity.metadata, Metadata::Fields(fields) if fields.is_shown()) {
        return None;
    }
    let type_path = metadata::type_path(entity);
    let name = metadata::known_as(entity).unraw().to_string();
    let shown = entity
        .metadata
        .fields()
        .iter()
        .filter(|field| field.sensitive.is_none());
    let own = match &entity.metadata {
        Metadata::Snapshot(_) => entity.generics,
        Metadata::Fields(metadata) => &metadata.generics,
    };
    let (impl_generics, ..) = own.split_for_impl();
    let where_clause = generics::of_fields(own, shown, &quote!(::core::fmt::Debug));
    let fields = shown_fields(entity.metadata.fields());
    // Output:
    //     impl Debug for MoodEntryMetadata {
    //         fn fmt(&self, __f: &mut Formatter<'_>) -> fmt::Result {
    //             let __debug = &mut __f.debug_struct("MoodEntryMetadata");
    //             __debug
    //                 .field("valence", &self.valence)
    //                 .field("notes", &_outbox::__private::Redacted)
    //                 .finish()
    //         }
    //     }
    let body = quote! {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            // A reference, so that a blanket trait of the user's with a method `field` does not
            // apply.
            let __debug = &mut __f.debug_struct(#name);
            __debug
                #(#fields)*
                .finish()
        }
    };
    // If the user also derives `Debug` for a snapshot, the compiler points here.
    let place = at(sensitive.unwrap_or_else(Span::call_site));
    Some(quote_spanned! {place=>
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #type_path #where_clause {
            #body
        }
    })
}

/// `Debug` of an entity with sensitive fields that is not its own metadata: the metadata fields,
/// without the sensitive ones.
///
/// A derive cannot see other derives. But two impls of one trait do not compile, so nobody derives
/// a `Debug` that shows sensitive fields.
pub(super) fn debug_of_entity(entity: &Entity<'_>) -> Option<TokenStream> {
    let sensitive = entity.metadata.sensitive()?;
    let Metadata::Fields(carried) = &entity.metadata else {
        return None;
    };
    let name = entity.name;
    let title = name.unraw().to_string();
    let (impl_generics, type_generics, _) = entity.generics.split_for_impl();
    let shown = carried
        .fields
        .iter()
        .filter(|field| field.sensitive.is_none());
    let where_clause = generics::of_fields(entity.generics, shown, &quote!(::core::fmt::Debug));
    let fields = shown_fields(&carried.fields);
    // Output:
    //     impl Debug for MoodEntry {
    //         fn fmt(&self, __f: &mut Formatter<'_>) -> fmt::Result {
    //             let __debug = &mut __f.debug_struct("MoodEntry");
    //             __debug
    //                 .field("valence", &self.valence)
    //                 .field("notes", &_outbox::__private::Redacted)
    //                 .finish_non_exhaustive()
    //         }
    //     }
    let body = quote! {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            let __debug = &mut __f.debug_struct(#title);
            __debug
                #(#fields)*
                .finish_non_exhaustive()
        }
    };
    Some(quote_spanned! {at(sensitive)=>
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #name #type_generics #where_clause {
            #body
        }
    })
}

/// The fields as shown by `Debug`.
fn shown_fields<'a>(fields: &'a [Member<'_>]) -> impl Iterator<Item = TokenStream> + 'a {
    fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let key = ident.unraw().to_string();
        match field.sensitive {
            Some(_) => quote!(.field(#key, &_outbox::__private::Redacted)),
            None => quote_spanned!(at(ty.span())=> .field(#key, &self.#ident)),
        }
    })
}

/// The sensitive metadata fields, by their JSON names.
///
/// It lists the fields that are not sensitive, so that a field whose JSON name is unknown here is
/// hidden.
pub(super) fn value(entity: &Entity<'_>) -> TokenStream {
    if entity.metadata.sensitive().is_none() {
        return quote!(_outbox::support::Sensitive::Nothing);
    }
    let fields = entity.metadata.fields().iter();
    let shown = fields
        .filter(|field| field.sensitive.is_none())
        .filter_map(|field| field.json_name(entity.rename_all.as_ref()));
    // Output: _outbox::support::Sensitive::AllBut(&["valence"])
    quote!(_outbox::support::Sensitive::AllBut(&[#(#shown),*]))
}

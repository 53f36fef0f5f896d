//! `OutboxEntity::upcast`: rows of older versions.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::at;
use crate::attr::Older;
use crate::model::Entity;

/// The method, if there are older versions; the trait's default knows none.
pub(super) fn upcast(entity: &Entity<'_>) -> Option<TokenStream> {
    if entity.older.is_empty() {
        return None;
    }
    let arms = entity.older.iter().map(|Older { version, ty, .. }| {
        // Spanned so that the compiler underlines a type that cannot be read or converted.
        let read = quote_spanned!(at(ty.span())=> __read.through::<#ty>());
        quote!(#version => ::core::option::Option::Some(#read))
    });
    // Output:
    //     fn upcast<__R: _outbox::support::ReadVersion<Self::Metadata>>(__version: u32,
    //         __read: __R) -> Option<__R::Output> {
    //         match __version {
    //             1u32 => Some(__read.through::<MoodEntryMetadataV1>()),
    //             _ => None,
    //         }
    //     }
    Some(quote! {
        fn upcast<__R: _outbox::support::ReadVersion<Self::Metadata>>(
            __version: ::core::primitive::u32,
            __read: __R,
        ) -> ::core::option::Option<__R::Output> {
            match __version {
                #(#arms,)*
                _ => ::core::option::Option::None,
            }
        }
    })
}

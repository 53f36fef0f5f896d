//! What `#[outbox(sensitive)]` keeps out of `Debug` and out of messages.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::{at, metadata};
use crate::model::{Entity, Member};

/// `Debug` of the metadata: derived where there is nothing to hide.
///
/// For a snapshot with sensitive fields it is the entity's own, which the user then cannot derive.
pub(super) fn debug(entity: &Entity<'_>) -> Option<TokenStream> {
    let sensitive = entity.metadata.sensitive()?;
    let type_name = metadata::type_path(entity);
    let name = type_name.to_string();
    let fields = entity.metadata.fields().iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let key = ident.unraw().to_string();
        match field.sensitive {
            Some(_) => quote!(.field(#key, &_outbox::__private::Redacted)),
            None => quote_spanned!(at(ty.span())=> .field(#key, &self.#ident)),
        }
    });
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
            // A reference, so that a trait of the user's with a method `field` for every type has none for this.
            let __debug = &mut __f.debug_struct(#name);
            __debug
                #(#fields)*
                .finish()
        }
    };
    // Where the user derives `Debug` for a snapshot too, this is where the compiler says so.
    Some(quote_spanned! {at(sensitive)=>
        #[automatically_derived]
        impl ::core::fmt::Debug for #type_name {
            #body
        }
    })
}

/// The method that names the sensitive values, where there are any.
pub(super) fn hide_method(entity: &Entity<'_>) -> Option<TokenStream> {
    entity.metadata.sensitive()?;
    let fields = entity.metadata.fields().iter();
    let idents = fields
        .filter(|field| field.sensitive.is_some())
        .map(|field| field.ident);
    // Output:
    //     fn hide_sensitive(__metadata: &Self::Metadata, __redaction: &mut _outbox::Redaction) {
    //         __redaction.hide(&__metadata.notes);
    //     }
    Some(quote! {
        fn hide_sensitive(
            __metadata: &<Self as _outbox::OutboxEntity>::Metadata,
            __redaction: &mut _outbox::Redaction,
        ) {
            #(__redaction.hide(&__metadata.#idents);)*
        }
    })
}

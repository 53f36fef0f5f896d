//! `OutboxEntity::parents`: the entities that the service must have first.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::at;
use crate::model::{Entity, Parent};

/// The method, if the entity has parents; the trait's default has none.
pub(super) fn method(entity: &Entity<'_>) -> Option<TokenStream> {
    if entity.parents.is_empty() {
        return None;
    }
    let parents = entity.parents.iter().map(|Parent { field, ty }| {
        let (ident, field) = (field.ident, field.ty);
        // Spanned so that the compiler underlines a field that is no id, and a type that is no
        // entity.
        let id = quote_spanned! {at(field.span())=>
            <#field as _outbox::support::AsParentId>::as_parent_id(&self.#ident)
        };
        quote_spanned!(at(ty.span())=> _outbox::__private::parent::<#ty>(#id))
    });
    // Output:
    //     fn parents(&self) -> Vec<_outbox::Parent> {
    //         _outbox::__private::parents([_outbox::__private::parent::<Journal>(
    //             <Option<Uuid> as _outbox::support::AsParentId>::as_parent_id(&self.journal_id))])
    //     }
    Some(quote! {
        fn parents(&self) -> ::std::vec::Vec<_outbox::Parent> {
            _outbox::__private::parents([#(#parents),*])
        }
    })
}

/// The call of the builder that names their event types. A type that is no entity is reported by
/// the method alone.
pub(super) fn option(parents: &[Parent<'_>]) -> Option<TokenStream> {
    if parents.is_empty() {
        return None;
    }
    let types = parents.iter().map(|parent| {
        let ty = &parent.ty;
        quote_spanned!(at(ty.span())=> _outbox::__private::Member::<#ty>::EVENT_TYPE)
    });
    // Output: .with_after(const { use _outbox::__private::NotAMember as _;
    //     &[_outbox::__private::Member::<Journal>::EVENT_TYPE] })
    Some(quote!(.with_after(const {
        #[allow(unused_imports)]
        use _outbox::__private::NotAMember as _;
        &[#(#types),*]
    })))
}

//! `after`: the entities that the service must have first.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::TypePath;
use syn::spanned::Spanned;

use super::options::has_assertion;
use super::{at, ids};
use crate::model::{Entity, Id, Parent};

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

/// Checks that an event can wait for its parents: their ids must be of the kind that its fields
/// hold, and their creations of its own user. Empty without parents, and where a parameter may
/// decide it.
pub(super) fn assertions(entity: &Entity<'_>) -> TokenStream {
    let others = entity
        .parents
        .iter()
        .filter(|parent| !names_self(&parent.ty));
    let others: Vec<&Parent<'_>> = others.collect();
    if others.is_empty() || !has_assertion(entity) {
        return TokenStream::new();
    }
    let ids = others.iter().map(|Parent { ty, field }| {
        let field = field.ty;
        quote_spanned! {at(field.span())=>
            _outbox::__private::assert_parent_id(
                &_outbox::__private::Member::<#ty>::OPTIONS,
                _outbox::__private::IdOf::<#field>::KIND,
            );
        }
    });
    let users = others
        .iter()
        .filter_map(|parent| assertion_of_user(entity, &parent.ty));
    // Output: const _: () = { use _outbox::__private::{AnyId as _, NotAMember as _};
    //     _outbox::__private::assert_parent_id(&Member::<Journal>::OPTIONS, IdOf::<Uuid>::KIND);
    //     _outbox::__private::assert_parent(&Member::<Journal>::OPTIONS, None); };
    // Not spanned, so that the compiler does not take an unknown type for a missing parameter.
    quote! {
        const _: () = {
            #[allow(unused_imports)]
            use _outbox::__private::{AnyId as _, NotAMember as _};
            #(#ids)*
            #(#users)*
        };
    }
}

/// `None` where the users can only be compared when the program runs.
fn assertion_of_user(entity: &Entity<'_>, parent: &TypePath) -> Option<TokenStream> {
    if has_unknown_constant(entity) {
        return None;
    }
    let own = match ids::constant_user(entity) {
        Some(literal) => quote!(::core::option::Option::Some(#literal)),
        None => quote!(::core::option::Option::None),
    };
    Some(quote_spanned! {at(parent.span())=>
        _outbox::__private::assert_parent(&_outbox::__private::Member::<#parent>::OPTIONS, #own);
    })
}

/// Whether the user is a value that may be the same for all entities, although it is no string.
fn has_unknown_constant(entity: &Entity<'_>) -> bool {
    match &entity.user_id {
        Some(Id::Computed(value)) => {
            ids::constant_user(entity).is_none() && !has_word(value.to_token_stream(), "self")
        }
        Some(Id::Field(_)) | None => false,
    }
}

/// Whether the type is the entity's own, under the name that only its impl knows.
fn names_self(ty: &TypePath) -> bool {
    has_word(ty.to_token_stream(), "Self")
}

fn has_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => has_word(group.stream(), word),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

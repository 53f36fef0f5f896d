//! `OutboxEntity::destination`: an expression of the user's, evaluated at enqueue.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::at;
use crate::model::Entity;

/// The method, if the entity has a destination; the trait's default has none.
pub(super) fn method(entity: &Entity<'_>) -> Option<TokenStream> {
    let expression = entity.destination.as_ref()?;
    let value = super::ids::referred(expression);
    // Spanned so that the compiler underlines a value that is not a string.
    let converted = quote_spanned!(at(expression.span())=> _outbox::__private::destination(#value));
    // Output:
    //     fn destination(&self) -> Option<String> { _outbox::__private::destination(&self.host) }
    Some(quote! {
        fn destination(&self) -> ::core::option::Option<::std::string::String> {
            #converted
        }
    })
}

/// The same tokens with the method's own `self`: in an attribute written by a `macro_rules!`,
/// `self` has another hygiene.
pub(super) fn of_the_receiver(tokens: TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(mut word) if word == "self" => {
            word.set_span(at(word.span()));
            TokenTree::Ident(word)
        }
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), of_the_receiver(group.stream()));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        token => token,
    });
    tokens.collect()
}

//! Spells out `Self` in field types, which are copied to places where `Self` is another type.

use std::borrow::Cow;

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Data, DeriveInput, Type};

/// The same input with its own name for `Self` in the types of its fields.
pub(crate) fn spell_out(input: &DeriveInput) -> Cow<'_, DeriveInput> {
    let Data::Struct(data) = &input.data else {
        return Cow::Borrowed(input);
    };
    if !data.fields.iter().any(|field| names_self(&field.ty)) {
        return Cow::Borrowed(input);
    }
    let mut spelt_out = input.clone();
    if let Data::Struct(data) = &mut spelt_out.data {
        for field in data.fields.iter_mut().filter(|field| names_self(&field.ty)) {
            let ty = replaced(field.ty.to_token_stream(), input);
            field.ty = Type::Verbatim(ty);
        }
    }
    Cow::Owned(spelt_out)
}

fn names_self(ty: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "Self",
            TokenTree::Group(group) => any(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    any(ty.to_token_stream())
}

fn replaced(tokens: TokenStream, input: &DeriveInput) -> TokenStream {
    let (name, (_, type_generics, _)) = (&input.ident, input.generics.split_for_impl());
    let mut tokens = tokens.into_iter().peekable();
    let mut replaced_tokens = TokenStream::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "Self" => {
                let mut name = name.clone();
                name.set_span(ident.span());
                let is_path =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                replaced_tokens.extend(match is_path {
                    // Output: <Goal>::LENGTH
                    true => quote_spanned!(ident.span()=> <#name #type_generics>),
                    // Output: Goal
                    false => quote_spanned!(ident.span()=> #name #type_generics),
                });
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), replaced(group.stream(), input));
                inner.set_span(group.span());
                replaced_tokens.extend([TokenTree::Group(inner)]);
            }
            token => replaced_tokens.extend([token]),
        }
    }
    replaced_tokens
}

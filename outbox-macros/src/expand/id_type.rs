//! The impls of `#[derive(EntityId)]`: a newtype is an entity id and a user id.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Member, Type};

use super::{at, generics, in_const, runtime};
use crate::attr::IdSource;
use crate::parameters;

/// Everything that `#[derive(EntityId)]` generates.
pub(super) fn expand(source: &IdSource<'_>, member: &Member, ty: &Type) -> TokenStream {
    let span = at(ty.span());
    let entity_id = quote_spanned! {span=>
        <#ty as _outbox::support::AsEntityId>::as_entity_id(&__id.#member)
    };
    let user_id = quote_spanned! {span=>
        _outbox::__private::UserOf::<#ty>::user_id(self, &self.#member)
    };
    let names = source.input.generics.type_params();
    let names: Vec<&Ident> = names.map(|param| &param.ident).collect();
    let bounds = match parameters::mentions(ty, &names) {
        true => vec![quote!(#ty: _outbox::support::AsEntityId + _outbox::support::AsUserId)],
        false => Vec::new(),
    };
    impls(source, &entity_id, &user_id, bounds)
}

/// The impls with these bodies.
pub(super) fn impls(
    source: &IdSource<'_>,
    entity_id: &TokenStream,
    user_id: &TokenStream,
    bounds: Vec<TokenStream>,
) -> TokenStream {
    let name = &source.input.ident;
    let (impl_generics, type_generics, _) = source.input.generics.split_for_impl();
    let where_clause = generics::where_clause(&source.input.generics, bounds);
    let runtime = runtime(source.krate.as_ref().map(|krate| &krate.value));
    // Output:
    //     impl From<OrderId> for _outbox::EntityId {
    //         fn from(__id: OrderId) -> Self {
    //             <Uuid as _outbox::support::AsEntityId>::as_entity_id(&__id.0) }
    //     }
    //     impl From<&OrderId> for _outbox::EntityId { .. }
    //     impl _outbox::support::AsUserId for OrderId {
    //         fn as_user_id(&self) -> Cow<'_, str> {
    //             _outbox::__private::UserOf::<Uuid>::user_id(self, &self.0) }
    //     }
    let item = quote! {
        #[allow(unused_imports)]
        use _outbox::__private::ByEntityId as _;
        #[automatically_derived]
        impl #impl_generics ::core::convert::From<#name #type_generics> for _outbox::EntityId #where_clause {
            fn from(__id: #name #type_generics) -> Self {
                #entity_id
            }
        }
        #[automatically_derived]
        impl #impl_generics ::core::convert::From<&#name #type_generics> for _outbox::EntityId #where_clause {
            fn from(__id: &#name #type_generics) -> Self {
                #entity_id
            }
        }
        #[automatically_derived]
        impl #impl_generics _outbox::support::AsUserId for #name #type_generics #where_clause {
            fn as_user_id(&self) -> ::std::borrow::Cow<'_, ::core::primitive::str> {
                #user_id
            }
        }
    };
    in_const(&runtime, &[item])
}

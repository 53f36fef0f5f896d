//! `enqueue_create`, `enqueue_sync`, `enqueue_update` and `enqueue_delete`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::docs::Links;
use crate::model::Entity;

/// The three changes of an entity, and the second name of the first.
pub(super) fn methods(entity: &Entity<'_>) -> TokenStream {
    let name = entity.name;
    let (impl_generics, type_generics, where_clause) = entity.generics.split_for_impl();
    let methods = [
        method(entity, "enqueue_create", "Create", "is new"),
        method(
            entity,
            "enqueue_sync",
            "Create",
            "is new, as `enqueue_create` does",
        ),
        method(entity, "enqueue_update", "Update", "has changed"),
        method(entity, "enqueue_delete", "Delete", "is gone"),
    ];
    // Output:
    //     impl MoodEntry {
    //         pub fn enqueue_create(&self) -> _outbox::Enqueue { .. }
    //         pub fn enqueue_sync(&self) -> _outbox::Enqueue { .. }
    //         pub fn enqueue_update(&self) -> _outbox::Enqueue { .. }
    //         pub fn enqueue_delete(&self) -> _outbox::Enqueue { .. }
    //     }
    quote! {
        impl #impl_generics #name #type_generics #where_clause {
            #(#methods)*
        }
    }
}

fn method(entity: &Entity<'_>, method: &str, operation: &str, what: &str) -> TokenStream {
    let Entity { name, vis, .. } = entity;
    let method = format_ident!("{method}");
    let operation = format_ident!("{operation}");
    let links = Links::new(entity.krate.as_ref());
    let on = links.to("Enqueue::on");
    let whose = match &entity.user_id {
        Some(_) => String::new(),
        None => format!(" Its user is given by {}.", links.to("Enqueue::for_user")),
    };
    // Every character costs each user's compiler time, so defaults are told by `Enqueue`.
    let docs = format!(
        "Tells the remote service that this [`{name}`](Self) {what}, as soon as {on} has stored the \
         event.{whose}"
    );
    // A bound on the method lets the compiler name the parameter at fault; a bound on the impl
    // would hide the method.
    let is_entity = entity
        .generics
        .type_params()
        .next()
        .map(|_| match &entity.user_id {
            Some(_) => quote!(where Self: _outbox::OutboxEntity),
            None => quote!(where Self: _outbox::support::WithoutUser),
        });
    // Output:
    //     pub fn enqueue_create(&self) -> _outbox::Enqueue {
    //         _outbox::Enqueue::new(self, _outbox::Operation::Create)
    //     }
    let (user, new) = match &entity.user_id {
        Some(_) => (None, quote!(new)),
        None => (
            Some(quote!(<_outbox::support::UserFromCall>)),
            quote!(without_user),
        ),
    };
    quote! {
        #[doc = #docs]
        #vis fn #method(&self) -> _outbox::Enqueue #user #is_entity {
            _outbox::Enqueue::#new(self, _outbox::Operation::#operation)
        }
    }
}

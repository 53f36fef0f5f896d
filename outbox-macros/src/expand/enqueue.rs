//! `enqueue_sync`, `enqueue_update` and `enqueue_delete`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Visibility};

/// The three ways in which an entity changes.
pub(super) fn methods(name: &Ident, vis: &Visibility) -> TokenStream {
    let methods = [
        method(vis, "enqueue_sync", "Create", "is new"),
        method(vis, "enqueue_update", "Update", "has changed"),
        method(vis, "enqueue_delete", "Delete", "is gone"),
    ];
    // Output:
    //     impl MoodEntry {
    //         pub fn enqueue_sync(&self) -> _outbox::Enqueue { .. }
    //         pub fn enqueue_update(&self) -> _outbox::Enqueue { .. }
    //         pub fn enqueue_delete(&self) -> _outbox::Enqueue { .. }
    //     }
    quote! {
        #[automatically_derived]
        impl #name {
            #(#methods)*
        }
    }
}

fn method(vis: &Visibility, name: &str, operation: &str, what: &str) -> TokenStream {
    let method = format_ident!("{name}");
    let operation = format_ident!("{operation}");
    let summary = format!("An event that tells the remote service that this entity {what}.");
    // Output:
    //     pub fn enqueue_sync(&self) -> _outbox::Enqueue {
    //         _outbox::Enqueue::new(self, _outbox::Operation::Create)
    //     }
    quote! {
        #[doc = #summary]
        ///
        /// Nothing is stored before `.on(..)`, which joins the transaction that it is given.
        #vis fn #method(&self) -> _outbox::Enqueue {
            _outbox::Enqueue::new(self, _outbox::Operation::#operation)
        }
    }
}

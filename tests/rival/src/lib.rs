//! What another crate may call its macros: `tests/ui/pass/rival_macros.rs` has them in scope beside ours.

use proc_macro::TokenStream;

/// Generates nothing, and reads no attribute.
#[proc_macro_derive(Outbox, attributes(outbox))]
pub fn derive_outbox(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// The same, under the name of ours.
#[proc_macro_derive(OutboxEntity, attributes(outbox, event))]
pub fn derive_outbox_entity(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Leaves the item as it is.
#[proc_macro_attribute]
pub fn outbox(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

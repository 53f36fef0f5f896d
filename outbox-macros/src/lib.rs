//! stub
use proc_macro::TokenStream;
/// stub
#[proc_macro_derive(OutboxEntity, attributes(outbox))]
pub fn a(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
/// stub
#[proc_macro_derive(OutboxEvents, attributes(outbox))]
pub fn b(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

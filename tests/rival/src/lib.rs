//! Macros of another crate under the same names: `tests/ui/pass/rival_macros.rs` has them in scope
//! next to ours. Also stand-ins for macros of known crates that ours must work with.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Generates nothing, and reads no attribute.
#[proc_macro_derive(Outbox, attributes(outbox))]
pub fn derive_outbox(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// The same, under the name of our derive.
#[proc_macro_derive(OutboxEntity, attributes(outbox, event))]
pub fn derive_outbox_entity(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Leaves the item unchanged.
#[proc_macro_attribute]
pub fn outbox(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Like `serde_with::serde_as`, as far as order matters: it removes the attributes of fields.
#[proc_macro_attribute]
pub fn serde_as(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut left = Vec::new();
    for token in item {
        match token {
            TokenTree::Group(group) if is_serde_as(&group) => drop(left.pop()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner = serde_as(TokenStream::new(), group.stream());
                left.push(Group::new(Delimiter::Brace, inner).into());
            }
            token => left.push(token),
        }
    }
    TokenStream::from_iter(left)
}

/// Like `serde_with::skip_serializing_none`, as far as order matters.
#[proc_macro_attribute]
pub fn skip_serializing_none(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

fn is_serde_as(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && first.is_some_and(|token| token.to_string() == "serde_as")
}

/// Like `prost::Message`, which generates a `Debug` unless told not to.
#[proc_macro_derive(Message, attributes(prost))]
pub fn derive_message(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

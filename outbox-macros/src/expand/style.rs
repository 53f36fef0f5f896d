//! Names in an unusual style: the user was warned, or has allowed them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;
use syn::ext::IdentExt;

/// Silences the naming lints if one of the fields, types or variants has an unusual name. Otherwise
/// nothing is allowed, because a crate might forbid it.
pub(super) fn silence<'a>(
    types: impl IntoIterator<Item = &'a Ident>,
    fields: impl IntoIterator<Item = &'a Ident>,
) -> Option<TokenStream> {
    let is_odd_type = |name: &Ident| {
        let name = name.unraw().to_string();
        name.contains('_') || !name.starts_with(char::is_uppercase)
    };
    let is_odd_field = |name: &Ident| name.unraw().to_string().contains(char::is_uppercase);
    let is_odd = types.into_iter().any(is_odd_type) || fields.into_iter().any(is_odd_field);
    // Output: #[allow(nonstandard_style)]
    is_odd.then(|| quote!(#[allow(nonstandard_style)]))
}

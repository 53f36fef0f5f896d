//! Names that a lint objects to, as those of another language: the user was told, or said that it
//! is meant so.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;
use syn::ext::IdentExt;

/// Silences the lints about names where one of the fields, or of the types and variants, is not
/// named as usual. Elsewhere there is nothing to allow, which a crate might forbid.
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

//! The impl of `EventSet`, which tools such as the wire lock read.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::events::member;
use super::options;
use crate::model::EventSet;

/// The whole impl.
pub(super) fn trait_impl(set: &EventSet<'_>) -> TokenStream {
    let ident = &set.input.ident;
    let name = ident.unraw().to_string();
    let (impl_generics, type_generics, where_clause) = set.input.generics.split_for_impl();
    let retired = retired(set);
    let visits = set.variants.iter().map(|variant| member(variant, "visit"));
    // Output:
    //     impl _outbox::support::EventSet for LumeEvent {
    //         const PATH: &'static str = concat!(module_path!(), "::", "LumeEvent");
    //         const MANIFEST_DIR: Option<&'static str> = option_env!("CARGO_MANIFEST_DIR");
    //         fn visit_entities(__visitor: &mut impl _outbox::support::VisitEntities) {
    //             Member::<MoodEntry>::visit(__visitor);
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::support::EventSet for #ident #type_generics #where_clause {
            const PATH: &'static ::core::primitive::str =
                ::core::concat!(::core::module_path!(), "::", #name);

            const MANIFEST_DIR: ::core::option::Option<&'static ::core::primitive::str> =
                ::core::option_env!("CARGO_MANIFEST_DIR");

            #retired

            fn visit_entities(__visitor: &mut impl _outbox::support::VisitEntities) {
                #(#visits(__visitor);)*
            }
        }
    }
}

/// The types that are no longer delivered, if there are any.
fn retired(set: &EventSet<'_>) -> Option<TokenStream> {
    if set.retired.is_empty() {
        return None;
    }
    let types = set.retired.iter().map(|retired| {
        let event_type = options::text(&retired.event_type);
        let policy = format_ident!("{}", retired.policy.variant);
        quote!(_outbox::support::Retired::new(#event_type, _outbox::support::Retirement::#policy))
    });
    // Output:
    //     const RETIRED: &'static [_outbox::support::Retired] =
    //         &[_outbox::support::Retired::new("legacyType", _outbox::support::Retirement::Drop)];
    Some(quote! {
        const RETIRED: &'static [_outbox::support::Retired] = &[#(#types),*];
    })
}

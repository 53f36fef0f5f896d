//! `assert_wire_lock`: the test that the shape of events changes only with their version.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use super::events::member;
use crate::model::EventSet;

/// The assertion, for the inherent impl of the set.
pub(super) fn assertion(set: &EventSet<'_>) -> TokenStream {
    let vis = &set.input.vis;
    let name = set.input.ident.unraw().to_string();
    let shapes = set.variants.iter().map(|variant| member(variant, "SHAPES"));
    // Output:
    //     pub fn assert_wire_lock() {
    //         _outbox::__private::assert_wire_lock(
    //             option_env!("CARGO_MANIFEST_DIR"),
    //             concat!(module_path!(), "::", "LumeEvent"),
    //             &[Member::<MoodEntry>::SHAPES],
    //         );
    //     }
    quote! {
        /// Asserts, in a `#[test]`, that `outbox.lock` beside `Cargo.toml` describes the metadata
        /// of every event of the set, in its current version and in the older ones that are still
        /// read.
        ///
        /// `OUTBOX_LOCK=update cargo test` writes the file; check it in.
        ///
        /// # Panics
        ///
        /// If a shape changed without a new version, or the file is missing, incomplete, damaged or
        /// unreadable; the message says what to do.
        #[track_caller]
        // Otherwise every library would include the code of its tests.
        #[inline]
        #vis fn assert_wire_lock() {
            _outbox::__private::assert_wire_lock(
                ::core::option_env!("CARGO_MANIFEST_DIR"),
                ::core::concat!(::core::module_path!(), "::", #name),
                &[#(#shapes),*],
            );
        }
    }
}

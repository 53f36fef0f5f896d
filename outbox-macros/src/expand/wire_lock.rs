//! `assert_wire_lock`: the test that the shape of what is sent changes only with its version.

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
        /// Asserts, in a `#[test]`, that the file `outbox.lock` beside `Cargo.toml` describes the metadata of every
        /// event of the set as it is, and as it was for the older versions that are still read.
        ///
        /// `OUTBOX_LOCK=update cargo test` writes the file, which is to be checked in.
        ///
        /// # Panics
        ///
        /// Where a shape changed and its version did not, or the file is missing, incomplete, damaged or cannot be
        /// read; the message says what to do.
        #[track_caller]
        // Without it every library would have the code of its tests in it.
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

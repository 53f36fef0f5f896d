//! The trait `<Set>Handler`, and `handled_by`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::events::member;
use super::{at, derived_name};
use crate::model::{EventSet, Variant};

/// The trait with one method a variant. None has a body, so that the compiler names the ones that were left out.
pub(super) fn trait_item(set: &EventSet<'_>, runtime: &TokenStream) -> TokenStream {
    let name = &set.input.ident;
    let vis = &set.input.vis;
    let trait_name = derived_name(name, "Handler");
    let summary = format!("Delivers every event of [`{name}`], each in a method of its own.");
    let methods = set.variants.iter().map(|variant| method(variant, runtime));
    // No `#[diagnostic::on_unimplemented]`: where the user says `no_implicit_prelude` it is not found.
    // Output:
    //     pub trait LumeEventHandler: Send + Sync + 'static {
    //         fn mood_entry(&self, event: Event<MoodEntry>) -> impl Future<Output = Result<(), HandlerError>> + Send;
    //     }
    quote! {
        #[doc = #summary]
        ///
        /// Implement the methods with plain `async fn`. The same event may come more than once: send its
        /// `idempotency_key()` along. The future may be dropped at any await.
        #[allow(deprecated)]
        #vis trait #trait_name: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn method(variant: &Variant<'_>, runtime: &TokenStream) -> TokenStream {
    let Variant {
        ident,
        event,
        method,
        ..
    } = variant;
    let summary = format!("Delivers one `{ident}` event.");
    // Output:
    //     fn mood_entry(
    //         &self,
    //         event: Event<MoodEntry>,
    //     ) -> impl Future<Output = Result<(), ::outbox_runtime::HandlerError>> + Send;
    quote_spanned! {at(ident.span())=>
        #[doc = #summary]
        ///
        /// # Errors
        ///
        /// What the runtime should do about it.
        fn #method(
            &self,
            event: #event,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<(), #runtime::HandlerError>,
        > + ::core::marker::Send;
    }
}

/// From a handler to what a processor takes.
pub(super) fn handled_by(set: &EventSet<'_>) -> TokenStream {
    let vis = &set.input.vis;
    let trait_name = derived_name(&set.input.ident, "Handler");
    let routes = set.variants.iter().map(|variant| {
        let Variant { event, method, .. } = variant;
        let route = member(variant, "route");
        quote! {
            let __handlers = #route(
                __handlers,
                |__handler: ::std::sync::Arc<__H>, __event: #event| async move {
                    <__H as #trait_name>::#method(&__handler, __event).await
                },
            );
        }
    });
    // Output:
    //     pub fn handled_by<__H: LumeEventHandler>(handler: __H) -> _outbox::HandlerSet {
    //         let __handlers = _outbox::__private::SharedHandlers::new(handler);
    //         let __handlers = Member::<MoodEntry>::route(__handlers, |__handler, __event| async move { .. });
    //         __handlers.build()
    //     }
    quote! {
        /// The handler of every event of the set, for a processor.
        #vis fn handled_by<__H: #trait_name>(handler: __H) -> _outbox::HandlerSet {
            let __handlers = _outbox::__private::SharedHandlers::new(handler);
            #(#routes)*
            __handlers.build()
        }
    }
}

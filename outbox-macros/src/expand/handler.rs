//! The trait `<Set>Handler`, and `handled_by`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::docs::Links;
use super::events::member;
use super::{at, batch, derived_name, style};
use crate::model::{EventSet, Variant};

/// The trait with one method per variant. None has a default body, so that the compiler names
/// missing ones.
pub(super) fn trait_item(set: &EventSet<'_>, runtime: &TokenStream) -> TokenStream {
    let name = &set.input.ident;
    let vis = &set.input.vis;
    let trait_name = derived_name(name, "Handler");
    let summary = format!("Delivers every event of [`{name}`], each in a method of its own.");
    let links = Links::new(set.krate.as_ref());
    let details = format!(
        "Implement the methods with plain `async fn`. The same event may arrive more than once, so send its {} along. The \
         future may be dropped at any await.",
        links.to("Event::idempotency_key")
    );
    let methods = set
        .variants
        .iter()
        .map(|variant| method(set, variant, runtime));
    let methods_named = set.variants.iter().map(|variant| &variant.method);
    let silence = style::silence([&trait_name], methods_named);
    // No `#[diagnostic::on_unimplemented]`, which `no_implicit_prelude` hides.
    // Output:
    //     pub trait LumeEventHandler: Send + Sync + 'static {
    //         fn mood_entry(&self, event: Event<MoodEntry>) -> impl Future<Output = Result<(),
    //             HandlerError>> + Send;
    //     }
    quote! {
        #[doc = #summary]
        ///
        #[doc = #details]
        #[allow(deprecated)]
        #silence
        #vis trait #trait_name: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn method(set: &EventSet<'_>, variant: &Variant<'_>, runtime: &TokenStream) -> TokenStream {
    let Variant { ident, method, .. } = variant;
    let parameter = batch::parameter(variant, runtime);
    let link = format!("[`{ident}`]({}::{ident})", set.input.ident);
    let (name, summary) = match variant.batch {
        Some(_) => (quote!(batch), format!("Delivers a batch of {link} events.")),
        None => (quote!(event), format!("Delivers one {link} event.")),
    };
    let errors = format!(
        "The delivery class of the failure: see {}.",
        Links::new(set.krate.as_ref()).to("HandlerError")
    );
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
        #[doc = #errors]
        fn #method(
            &self,
            #name: #parameter,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<(), #runtime::HandlerError>,
        > + ::core::marker::Send;
    }
}

/// A shared handler is a handler.
pub(super) fn shared_impl(set: &EventSet<'_>) -> TokenStream {
    let trait_name = derived_name(&set.input.ident, "Handler");
    let methods = set.variants.iter().map(|variant| {
        let method = &variant.method;
        let parameter = batch::parameter(variant, &quote!(_outbox));
        quote! {
            fn #method(
                &self,
                __event: #parameter,
            ) -> impl ::core::future::Future<
                Output = ::core::result::Result<(), _outbox::HandlerError>,
            > + ::core::marker::Send {
                <__H as #trait_name>::#method(&**self, __event)
            }
        }
    });
    // Output:
    //     impl<__H: LumeEventHandler> LumeEventHandler for Arc<__H> {
    //         fn mood_entry(&self, __event: Event<MoodEntry>) -> impl Future<..> + Send {
    //             <__H as LumeEventHandler>::mood_entry(&**self, __event)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl<__H: #trait_name> #trait_name for ::std::sync::Arc<__H> {
            #(#methods)*
        }
    }
}

/// Converts a handler into the handler set of a processor.
pub(super) fn handled_by(set: &EventSet<'_>) -> TokenStream {
    let vis = &set.input.vis;
    let trait_name = derived_name(&set.input.ident, "Handler");
    let routes = set.variants.iter().map(|variant| {
        let method = &variant.method;
        let parameter = batch::parameter(variant, &quote!(_outbox));
        let route = match variant.batch {
            Some(_) => member(variant, "route_batch"),
            None => member(variant, "route"),
        };
        let bounds = variant.batch.as_ref().map(|batch| {
            let bounds = batch::bounds(batch);
            quote!(#bounds,)
        });
        quote! {
            let __handlers = #route(
                __handlers,
                #bounds
                |__handler: ::std::sync::Arc<_>, __event: #parameter| async move {
                    #trait_name::#method(&*__handler, __event).await
                },
            );
        }
    });
    let retire = (!set.retired.is_empty()).then(|| {
        // Output: .retire(<Self as _outbox::support::EventSet>::RETIRED)
        quote!(.retire(<Self as _outbox::support::EventSet>::RETIRED))
    });
    let summary = format!(
        "Delivers every event of [`{}`](Self) with one handler, for {}.",
        set.input.ident,
        Links::new(set.krate.as_ref()).to("ProcessorBuilder::handlers")
    );
    // Output:
    //     pub fn handled_by(handler: impl LumeEventHandler) -> _outbox::HandlerSet {
    //         let __handlers = _outbox::__private::SharedHandlers::new(handler);
    //         let __handlers = Member::<MoodEntry>::route(__handlers, |__handler,
    //             __event| async move { .. });
    //         __handlers.build()
    //     }
    quote! {
        #[doc = #summary]
        #vis fn handled_by(handler: impl #trait_name) -> _outbox::HandlerSet {
            let __handlers = _outbox::__private::SharedHandlers::new(handler);
            #(#routes)*
            __handlers.build()#retire
        }
    }
}

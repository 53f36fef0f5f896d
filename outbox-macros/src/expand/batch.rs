//! How the events of a variant are delivered together.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use super::events::member;
use super::options::{constant, duration, variant};
use super::{at, in_const, runtime};
use crate::attr::Constant;
use crate::model::{BatchBounds, EventSet, Variant};

/// The parameter of the handler's method: one event, or a batch of them.
pub(super) fn parameter(variant: &Variant<'_>, runtime: &TokenStream) -> TokenStream {
    let event = variant.event;
    match variant.batch {
        // Output: ::outbox_runtime::Batch<Event<MoodEntry>>
        Some(_) => quote_spanned!(at(event.span())=> #runtime::Batch<#event>),
        None => event.to_token_stream(),
    }
}

/// The bounds, for the route of a variant.
pub(super) fn bounds(batch: &BatchBounds) -> TokenStream {
    let events = constant(&batch.events, |known| quote!(#known));
    let within = batch.within.as_ref().map(|within| {
        let within = constant(&within.value, duration);
        quote!(.within(#within))
    });
    let bytes = batch.bytes.as_ref().map(|bytes| {
        let bytes = constant(bytes, |known| quote!(#known));
        quote!(.up_to_bytes(#bytes))
    });
    let order = order(batch).map(|order| quote!(.in_order(#order)));
    // Output: _outbox::Batching::of(100usize).within(Duration::new(2u64, 0u32))
    quote!(_outbox::Batching::of(#events) #within #bytes #order)
}

/// Which events of a lane come in one batch, if it is given.
fn order(batch: &BatchBounds) -> Option<TokenStream> {
    let order = batch.order.as_ref()?;
    // Output: _outbox::BatchOrder::Keep
    Some(constant(&order.value, |known| variant("BatchOrder", known)))
}

/// Checks the bounds that only the compiler knows, and the options of the entities. Empty without
/// batches.
pub(super) fn assertions(set: &EventSet<'_>) -> TokenStream {
    let batched = set
        .variants
        .iter()
        .filter_map(|variant| Some((variant, variant.batch.as_ref()?)));
    let assertions: Vec<TokenStream> = batched
        .map(|(variant, batch)| {
            let options = member(variant, "OPTIONS");
            let span = at(batch.key.span());
            let of_entity = match (order(batch), &batch.order) {
                (Some(order), Some(given)) => {
                    let span_of_order = at(given.key.span());
                    let of_order = quote_spanned! {span_of_order=>
                        const _: () = _outbox::__private::assert_batch_order(&#options, #order);
                    };
                    quote_spanned! {span=>
                        const _: () = _outbox::__private::assert_batched_in_order(&#options, #order);
                        #of_order
                    }
                }
                _ => quote_spanned! {span=>
                    const _: () = _outbox::__private::assert_batched(&#options);
                },
            };
            let of_wait = batch.within.as_ref().map(|within| {
                let wait = constant(&within.value, duration);
                quote_spanned! {at(within.key.span())=>
                    const _: () = _outbox::__private::assert_batch_wait(&#options, #wait);
                }
            });
            let of_bounds = first_path(batch).map(|path| {
                let bounds = bounds(batch);
                quote_spanned! {at(path.span())=>
                    const _: () = _outbox::__private::assert_batching(&#bounds);
                }
            });
            quote!(#of_entity #of_wait #of_bounds)
        })
        .collect();
    if assertions.is_empty() {
        return TokenStream::new();
    }
    // Output:
    //     const _: () = _outbox::__private::assert_batched(&Member::<MoodEntry>::OPTIONS);
    in_const(
        &runtime(set.krate.as_ref()),
        &[
            quote!(
                use _outbox::__private::NotAMember as _;
            ),
            quote!(#(#assertions)*),
        ],
    )
}

/// The path of a constant whose value only the compiler knows.
fn first_path(batch: &BatchBounds) -> Option<&syn::TypePath> {
    let within = batch.within.as_ref().map(|keyed| &keyed.value);
    match (&batch.events, within, &batch.bytes) {
        (Constant::Path(path), ..)
        | (_, Some(Constant::Path(path)), _)
        | (.., Some(Constant::Path(path))) => Some(path),
        _ => None,
    }
}

//! `OPTIONS`: the `#[outbox(..)]` options of an entity type.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use crate::attr::{Choice, Constant};
use crate::model::Entity;

/// The value of the associated constant.
pub(super) fn value(entity: &Entity<'_>) -> TokenStream {
    let options = builder(entity);
    if has_assertion(entity) || entity.options.first_path().is_none() {
        return options;
    }
    // Output: { let options = _outbox::support::EntityOptions::new(..);
    //         _outbox::__private::assert_options(&options); options }
    quote!({
        let options = #options;
        _outbox::__private::assert_options(&options);
        options
    })
}

fn builder(entity: &Entity<'_>) -> TokenStream {
    let options = &entity.options;
    let display_name = text(&options.display_name);
    let version = options
        .version
        .map(|version| quote!(.with_metadata_version(#version)));
    let after = super::parents::option(&entity.parents);
    let user =
        super::ids::constant_user(entity).map(|literal| quote!(.with_constant_user(#literal)));
    let id_kind = super::ids::kind(&entity.entity_id);
    let set: TokenStream = [
        call("with_aliases", &options.aliases, |aliases| {
            let aliases = aliases.iter().map(|alias| text(&alias.name));
            quote!(&[#(#aliases),*])
        }),
        call("with_priority", &options.priority, |known| quote!(#known)),
        call(
            "with_max_attempts",
            &options.max_attempts,
            |known| quote!(#known),
        ),
        call(
            "with_max_snoozes",
            &options.max_snoozes,
            |known| quote!(#known),
        ),
        call("with_charge", &options.charge, |known| {
            variant("Charge", known)
        }),
        call("with_retry", &options.retry, |delays| {
            let delays = delays.iter().map(|delay| constant(delay, duration));
            // A const block, because the delays must be 'static and calls are not promoted.
            quote!(const { &[#(#delays),*] })
        }),
        call("with_timeout", &options.timeout, duration),
        call("with_lease", &options.lease, duration),
        call("with_order", &options.order, |known| {
            variant("Order", known)
        }),
        call("with_on_dead", &options.on_dead, |known| {
            variant("OnDead", known)
        }),
        call("with_coalesce", &options.coalesce, |known| {
            variant("Coalesce", known)
        }),
        call("with_expires_after", &options.expires_after, duration),
        call("with_on_expiry", &options.on_expiry, |known| {
            variant("OnExpiry", known)
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Output, with one call for each key that is given:
    //     _outbox::support::EntityOptions::new(<Self as _outbox::OutboxEntity>::EVENT_TYPE)
    //         .with_display_name("Mood Entry")
    //         .with_aliases(&["mood_entry"])
    //         .with_priority(5i32)
    //         .with_retry(const { &[Duration::new(1u64, 0u32), SLOW] })
    //         .with_order(_outbox::Order::User)
    quote! {
        _outbox::support::EntityOptions::new(<Self as _outbox::OutboxEntity>::EVENT_TYPE)
            .with_display_name(#display_name)
            #set
            #version
            #after
            #user
            #id_kind
    }
}

/// Applies to constants the rules that literals met when they were parsed.
pub(super) fn assertion(entity: &Entity<'_>) -> TokenStream {
    let Some(path) = entity
        .options
        .first_path()
        .filter(|_| has_assertion(entity))
    else {
        return TokenStream::new();
    };
    let name = entity.name;
    let span = super::at(syn::spanned::Spanned::span(path));
    // Output: const _: () =
    //         _outbox::__private::assert_options(&<MoodEntry as _outbox::OutboxEntity>::OPTIONS);
    quote::quote_spanned! {span=>
        const _: () = _outbox::__private::assert_options(&<#name as _outbox::OutboxEntity>::OPTIONS);
    }
}

/// Whether the constants can be checked on their own. The constants of a generic entity may depend
/// on its parameters, and are checked at its use.
pub(super) fn has_assertion(entity: &Entity<'_>) -> bool {
    entity.generics.params.is_empty()
}

/// A string, or a constant string.
pub(super) fn text(text: &Constant<String>) -> TokenStream {
    constant(text, |known| quote!(#known))
}

/// One call of the builder, if the option is given.
fn call<T>(
    method: &str,
    option: &Option<Constant<T>>,
    known: impl FnOnce(&T) -> TokenStream,
) -> Option<TokenStream> {
    let method = format_ident!("{method}");
    let value = constant(option.as_ref()?, known);
    Some(quote!(.#method(#value)))
}

pub(super) fn constant<T>(
    constant: &Constant<T>,
    known: impl FnOnce(&T) -> TokenStream,
) -> TokenStream {
    match constant {
        Constant::Known(value) => known(value),
        Constant::Path(path) => path.to_token_stream(),
    }
}

pub(super) fn variant(of: &str, choice: &Choice) -> TokenStream {
    let (of, variant) = (format_ident!("{of}"), format_ident!("{}", choice.variant));
    quote!(_outbox::#of::#variant)
}

pub(super) fn duration(duration: &Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

//! `impl DeliveryError`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::DeriveInput;
use syn::spanned::Spanned;

use super::{at, in_const, runtime};
use crate::attr::Constant;
use crate::model::{Answer, Case, ErrorType, Scope, Source};

/// Everything that `#[derive(DeliveryError)]` generates.
pub(super) fn expand(error: &ErrorType<'_>) -> TokenStream {
    let arms: Vec<TokenStream> = error.cases.iter().map(answer).collect();
    let body = match arms.as_slice() {
        // A reference to an uninhabited type does not count as uninhabited.
        [] => quote!(match *self {}),
        arms => quote!(match self { #(#arms,)* }),
    };
    let has_scope = |case: &Case<'_>| !matches!(case.scope, Scope::Usual);
    let scope = error.cases.iter().any(has_scope).then(|| {
        let arms = error.cases.iter().map(scope);
        // Output: fn scope(&self) -> _outbox::Scope { match self { .. } }
        quote! {
            fn scope(&self) -> _outbox::Scope {
                match self { #(#arms,)* }
            }
        }
    });
    let bounds = error
        .generic_sources()
        .map(|ty| quote_spanned!(at(ty.span())=> #ty: _outbox::DeliveryError));
    let item = trait_impl(error.input, bounds, &body, scope.as_ref());
    in_const(&runtime(error.krate.as_ref()), &[item])
}

/// The impl around a body.
pub(super) fn trait_impl(
    input: &DeriveInput,
    bounds: impl Iterator<Item = TokenStream>,
    body: &TokenStream,
    scope: Option<&TokenStream>,
) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| clause.predicates.iter());
    let predicates = predicates.into_iter().flatten();
    // The bounds of a generic error depend on its parameters. For a plain one the compiler reports
    // a missing `Error` impl.
    let is_error = (!input.generics.params.is_empty()).then(|| {
        quote! {
            Self: ::core::error::Error + ::core::marker::Send + ::core::marker::Sync + 'static
        }
    });
    let where_clause = is_error
        .into_iter()
        .chain(predicates.map(|predicate| quote!(#predicate)))
        .chain(bounds);
    // Output:
    //     impl<E> _outbox::DeliveryError for SyncError<E>
    //     where
    //         Self: Error + Send + Sync + 'static,
    //         E: _outbox::DeliveryError,
    //     {
    //         fn delivery(&self) -> _outbox::Delivery { match self { .. } }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::DeliveryError for #name #type_generics
        where
            #(#where_clause,)*
        {
            fn delivery(&self) -> _outbox::Delivery {
                #body
            }

            #scope
        }
    }
}

/// The delivery class of a case.
fn answer(case: &Case<'_>) -> TokenStream {
    let (field, answer) = match &case.answer {
        Answer::Retry(None) => (None, without_wait("Retry")),
        Answer::Unavailable(None) => (None, without_wait("Unavailable")),
        Answer::Permanent => (None, quote!(_outbox::Delivery::Permanent)),
        Answer::Offline => (None, quote!(_outbox::Delivery::Offline)),
        Answer::Unauthenticated => (None, quote!(_outbox::Delivery::Unauthenticated)),
        Answer::Obsolete => (None, quote!(_outbox::Delivery::Obsolete)),
        Answer::Retry(Some(field)) => (Some(field), call("retry_after", field)),
        Answer::Unavailable(Some(field)) => (Some(field), call("unavailable", field)),
        Answer::RateLimited(field) => (Some(field), call("rate_limited", field)),
        Answer::Snooze(field) => (Some(field), call("snooze", field)),
        Answer::Forward(field) => {
            let wrapped = call("forward", field);
            (
                Some(field),
                quote!(_outbox::DeliveryError::delivery(#wrapped)),
            )
        }
    };
    // Output:
    //     Self::Rejected { .. } => _outbox::Delivery::Permanent
    //     Self::Throttled { wait: __field, .. } =>
    //         _outbox::__private::rate_limited::<Duration>(__field)
    arm(case, field, &answer)
}

/// The scope of a case.
fn scope(case: &Case<'_>) -> TokenStream {
    let (field, scope) = match &case.scope {
        Scope::Usual => (None, quote!(_outbox::Scope::Destination)),
        Scope::Given(Constant::Known(choice)) => {
            let variant = format_ident!("{}", choice.variant);
            (None, quote!(_outbox::Scope::#variant))
        }
        Scope::Given(Constant::Path(path)) => (None, path.to_token_stream()),
        Scope::Named(field) => (Some(field), call("named", field)),
        Scope::Forward(field) => {
            let wrapped = call("forward", field);
            (Some(field), quote!(_outbox::DeliveryError::scope(#wrapped)))
        }
    };
    // Output:
    //     Self::Throttled { .. } => _outbox::Scope::User
    //     Self::Unreachable { host: __field, .. } => _outbox::__private::named::<String>(__field)
    arm(case, field, &scope)
}

/// One arm of a match, which binds a field if needed.
fn arm(case: &Case<'_>, field: Option<&Source<'_>>, value: &TokenStream) -> TokenStream {
    let path = match case.variant {
        Some(variant) => quote!(Self::#variant),
        None => quote!(Self),
    };
    let binding = field.map(|field| {
        let member = &field.member;
        quote!(#member: __field,)
    });
    quote!(#path { #binding .. } => #value)
}

/// An answer whose optional duration is absent.
fn without_wait(variant: &str) -> TokenStream {
    let variant = format_ident!("{variant}");
    quote!(_outbox::Delivery::#variant { after: ::core::option::Option::None })
}

/// A call that names the field's type, so that the compiler underlines a wrong type itself.
fn call(function: &str, field: &Source<'_>) -> TokenStream {
    let ty = field.ty;
    let span = at(ty.span());
    let function = syn::Ident::new(function, span);
    // Output: _outbox::__private::rate_limited::<Duration>(__field)
    let field = quote!(__field);
    quote_spanned!(span=> _outbox::__private::#function::<#ty>(#field))
}

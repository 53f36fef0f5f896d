//! `impl DeliveryError`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;
use syn::spanned::Spanned;

use super::{at, in_const, runtime};
use crate::model::{Answer, Case, ErrorType, Source};

/// Everything that `#[derive(DeliveryError)]` generates.
pub(super) fn expand(error: &ErrorType<'_>) -> TokenStream {
    let arms: Vec<TokenStream> = error.cases.iter().map(arm).collect();
    let body = match arms.as_slice() {
        // A reference to a type without values is not known to have none.
        [] => quote!(match *self {}),
        arms => quote!(match self { #(#arms,)* }),
    };
    let bounds = error
        .generic_sources()
        .map(|ty| quote_spanned!(at(ty.span())=> #ty: _outbox::DeliveryError));
    let item = trait_impl(error.input, bounds, &body);
    in_const(&runtime(error.krate.as_ref()), &[item])
}

/// The impl around a body.
pub(super) fn trait_impl(
    input: &DeriveInput,
    bounds: impl Iterator<Item = TokenStream>,
    body: &TokenStream,
) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| clause.predicates.iter());
    let predicates = predicates.into_iter().flatten();
    // What a generic error is depends on its parameters. That a plain one is no error is for the compiler to say.
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
        }
    }
}

fn arm(case: &Case<'_>) -> TokenStream {
    let path = match case.variant {
        Some(variant) => quote!(Self::#variant),
        None => quote!(Self),
    };
    let (field, answer) = match &case.answer {
        Answer::Retry(None) => (
            None,
            quote!(_outbox::Delivery::Retry {
                after: ::core::option::Option::None
            }),
        ),
        Answer::Permanent => (None, quote!(_outbox::Delivery::Permanent)),
        Answer::Offline => (None, quote!(_outbox::Delivery::Offline)),
        Answer::Unauthenticated => (None, quote!(_outbox::Delivery::Unauthenticated)),
        Answer::Obsolete => (None, quote!(_outbox::Delivery::Obsolete)),
        Answer::Retry(Some(field)) => (Some(field), call("retry_after", field)),
        Answer::RateLimited(field) => (Some(field), call("rate_limited", field)),
        Answer::Snooze(field) => (Some(field), call("snooze", field)),
        Answer::Forward(field) => (Some(field), call("forward", field)),
    };
    let binding = field.map(|field| {
        let member = &field.member;
        quote!(#member: __field,)
    });
    // Output:
    //     Self::Rejected { .. } => _outbox::Delivery::Permanent
    //     Self::Throttled { wait: __field, .. } => _outbox::__private::rate_limited::<Duration>(__field)
    quote!(#path { #binding .. } => #answer)
}

/// A call that names the field's type, so that a wrong one is underlined where it stands.
fn call(function: &str, field: &Source<'_>) -> TokenStream {
    let ty = field.ty;
    let span = at(ty.span());
    let function = syn::Ident::new(function, span);
    // Output: _outbox::__private::rate_limited::<Duration>(__field)
    let field = quote!(__field);
    quote_spanned!(span=> _outbox::__private::#function::<#ty>(#field))
}

//! The ids of an entity: fields, values of the user's, or a user that comes from the call.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, LitStr, Type};

use super::at;
use super::destination::of_the_receiver;
use crate::model::{Entity, Id, Member};

/// The body of `entity_id`.
pub(super) fn entity_id(id: &Id<'_>) -> TokenStream {
    match id {
        Id::Field(field) => converted(field, &quote!(AsEntityId), &quote!(as_entity_id)),
        // Output: _outbox::__private::composite_id(&[&self.tenant, &self.number])
        Id::Computed(value) => computed(value, &quote!(entity_id), &quote!(composite_id)),
    }
}

/// The body of `user_id`.
pub(super) fn user_id(id: Option<&Id<'_>>) -> TokenStream {
    let literal = match id {
        Some(Id::Field(field)) => {
            return converted(field, &quote!(AsUserId), &quote!(as_user_id));
        }
        Some(Id::Computed(value)) => match literal(value) {
            Some(literal) => literal.to_token_stream(),
            // Output: _outbox::__private::user_id(&self.tenant())
            None => return computed(value, &quote!(user_id), &quote!(composite_user)),
        },
        // The call gives the user before the event is enqueued.
        None => quote!(""),
    };
    // Output: Cow::Borrowed("shop")
    quote!(::std::borrow::Cow::Borrowed(#literal))
}

/// The user of every event, if it is written as a string.
pub(super) fn constant_user<'e>(entity: &'e Entity<'_>) -> Option<&'e LitStr> {
    match &entity.user_id {
        Some(Id::Computed(value)) => literal(value),
        Some(Id::Field(_)) | None => None,
    }
}

fn literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal),
        _ => None,
    }
}

/// Shows the type of the ids: as one that serde reads if possible, otherwise as an opaque one. The
/// type of a computed id is not known here; what the trait's default tells is its [`kind`].
pub(super) fn inspect(id: &Id<'_>) -> Option<TokenStream> {
    let ty = match id {
        // Its kind tells the type, and this method costs more of the compiler's time than most.
        Id::Field(Member { ty, .. }) if !has_name_of_known_kind(ty) => ty,
        Id::Field(_) | Id::Computed(_) => return None,
    };
    // Output:
    //     fn inspect_id_type<__I: InspectIdType>(__inspect: __I) -> __I::Output {
    //         use _outbox::__private::{OpaqueId as _, ReadableId as _};
    //         (&_outbox::__private::IdOf::<Uuid>::NEW).__outbox_inspect(__inspect)
    //     }
    Some(quote! {
        fn inspect_id_type<__I: _outbox::support::InspectIdType>(__inspect: __I) -> __I::Output {
            use _outbox::__private::{OpaqueId as _, ReadableId as _};
            (&_outbox::__private::IdOf::<#ty>::NEW).__outbox_inspect(__inspect)
        }
    })
}

/// The call of the builder that names the kind of the ids, where the type tells it. The runtime
/// decides: another type that has the name of a known one is of any kind.
pub(super) fn kind(id: &Id<'_>) -> Option<TokenStream> {
    match id {
        // Output: .with_id_kind(_outbox::__private::IdOf::<Uuid>::KIND)
        Id::Field(Member { ty, .. })
            if has_name_of_known_kind(ty) || matches!(ty, Type::Tuple(_)) =>
        {
            Some(quote!(.with_id_kind(_outbox::__private::IdOf::<#ty>::KIND)))
        }
        Id::Computed(value) if matches!(&**value, Expr::Tuple(_)) => {
            Some(quote!(.with_id_kind(_outbox::support::IdKind::Composite)))
        }
        Id::Field(_) | Id::Computed(_) => None,
    }
}

/// What [`kind`] needs where another type has the name of a known one.
pub(super) fn import(id: &Id<'_>) -> Option<TokenStream> {
    kind(id)?;
    Some(quote! {
        #[allow(unused_imports)]
        use _outbox::__private::AnyId as _;
    })
}

fn has_name_of_known_kind(ty: &Type) -> bool {
    const NAMES: [&str; 14] = [
        "String", "Uuid", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64",
        "u128", "usize",
    ];
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            NAMES.contains(&&*name) || name.starts_with("NonZero")
        }),
        _ => false,
    }
}

/// The impl of `WithoutUser`, if the user comes from the call.
pub(super) fn marker(entity: &Entity<'_>) -> Option<TokenStream> {
    if entity.user_id.is_some() {
        return None;
    }
    let name = entity.name;
    let (impl_generics, type_generics, _) = entity.generics.split_for_impl();
    let where_clause = super::generics::of_entity(entity);
    // Output: impl _outbox::support::WithoutUser for Invoice {}
    Some(quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::support::WithoutUser for #name #type_generics #where_clause {}
    })
}

/// A field through a conversion trait, spanned so that the compiler underlines a type without the
/// conversion.
fn converted(field: &Member<'_>, conversion: &TokenStream, method: &TokenStream) -> TokenStream {
    let Member { ident, ty, .. } = field;
    // Output: <Uuid as _outbox::support::AsEntityId>::as_entity_id(&self.id)
    quote_spanned!(at(ty.span())=> <#ty as _outbox::support::#conversion>::#method(&self.#ident))
}

/// A value of the user's through a function of the runtime, spanned like the value. A tuple is
/// passed part by part, so that fields are not moved out of `self`.
fn computed(value: &Expr, one: &TokenStream, several: &TokenStream) -> TokenStream {
    let Expr::Tuple(tuple) = value else {
        let referred = referred(value);
        return quote_spanned!(at(value.span())=> _outbox::__private::#one(#referred));
    };
    let parts = tuple.elems.iter().map(referred);
    quote_spanned!(at(value.span())=> _outbox::__private::#several(&[#(#parts),*]))
}

/// A reference to the value.
pub(super) fn referred(value: &Expr) -> TokenStream {
    let tokens = of_the_receiver(value.to_token_stream());
    // Unnecessary parentheses trigger a lint.
    let tokens = match value {
        Expr::Binary(_) | Expr::Cast(_) | Expr::Unary(_) => quote!((#tokens)),
        _ => tokens,
    };
    quote_spanned!(at(value.span())=> &#tokens)
}

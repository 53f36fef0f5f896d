//! The parameters of a generic struct, and which of them a part of the struct needs.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{GenericParam, Generics, Ident, Type, WherePredicate};

/// The parameters that fields of these types use, with their bounds; the others are left out.
///
/// ```text
/// struct Tagged<T: Clone, U> where U: Ord { tag: Vec<T>, .. }     with the field `tag` alone: <T: Clone>
/// ```
pub(crate) fn used_by(generics: &Generics, types: &[&Type]) -> Generics {
    let (used, unused): (Vec<&GenericParam>, Vec<_>) = generics
        .params
        .iter()
        .partition(|param| types.iter().any(|ty| mentions(*ty, &[name(param)])));
    let unused: Vec<&Ident> = unused.into_iter().map(name).collect();
    // A bound cannot mention a missing parameter.
    let params = used.into_iter().map(|param| without(param, &unused));
    let predicates = generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates)
        .filter(|predicate| !mentions(predicate, &unused));
    let mut kept = Generics {
        params: params.collect(),
        ..Generics::default()
    };
    let names: Vec<&Ident> = kept.params.iter().map(name).collect();
    let predicates: Punctuated<WherePredicate, _> = predicates
        .filter(|predicate| mentions(predicate, &names))
        .cloned()
        .collect();
    if !predicates.is_empty() {
        kept.make_where_clause().predicates = predicates;
    }
    kept
}

/// The types that must be serializable for a field to be, as far as its type leaves that to the
/// parameters.
///
/// `Vec<T>` requires it of `T`. `Vec<T::Id>` requires it of the whole type, because nothing else is
/// known.
pub(crate) fn required_by<'a>(generics: &'a Generics, types: &[&'a Type]) -> Vec<TokenStream> {
    let names: Vec<&Ident> = generics.type_params().map(|param| &param.ident).collect();
    let mut open: Vec<TokenStream> = Vec::new();
    let mut add = |tokens: TokenStream| {
        if !open
            .iter()
            .any(|known| known.to_string() == tokens.to_string())
        {
            open.push(tokens);
        }
    };
    for ty in types.iter().filter(|ty| mentions(**ty, &names)) {
        if has_projection(ty.to_token_stream(), &names) {
            add(ty.to_token_stream());
        } else {
            names
                .iter()
                .filter(|name| mentions(*ty, &[name]))
                .for_each(|name| add(name.to_token_stream()));
        }
    }
    open
}

/// Whether `tokens` mention any of the parameters. `other::T` does not: that is another crate's
/// `T`.
pub(crate) fn mentions(tokens: impl ToTokens, names: &[&Ident]) -> bool {
    any_mention(tokens.to_token_stream(), names, &|_| true)
}

/// Whether a type is a projection of a parameter: `T::Id`, `<T as Entity>::Id`.
fn has_projection(tokens: TokenStream, names: &[&Ident]) -> bool {
    any_mention(tokens, names, &|next| match next {
        Some(TokenTree::Punct(punct)) => punct.as_char() == ':',
        Some(TokenTree::Ident(ident)) => ident == "as",
        _ => false,
    })
}

/// Whether `tokens` contain any of `names` followed by a token that is `fitting`.
fn any_mention(
    tokens: TokenStream,
    names: &[&Ident],
    fitting: &dyn Fn(Option<&TokenTree>) -> bool,
) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    let mut after_colons = 0;
    while let Some(token) = tokens.next() {
        let colons = after_colons;
        after_colons = 0;
        match token {
            TokenTree::Ident(ident) => {
                if colons < 2 && names.contains(&&ident) && fitting(tokens.peek()) {
                    return true;
                }
            }
            TokenTree::Group(group) if any_mention(group.stream(), names, fitting) => return true,
            TokenTree::Punct(punct) if punct.as_char() == ':' => after_colons = colons + 1,
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    false
}

/// The name by which the parameter is used.
fn name(param: &GenericParam) -> &Ident {
    match param {
        GenericParam::Type(param) => &param.ident,
        GenericParam::Const(param) => &param.ident,
        GenericParam::Lifetime(param) => &param.lifetime.ident,
    }
}

/// A parameter without bounds and defaults that mention missing parameters.
fn without(param: &GenericParam, unused: &[&Ident]) -> GenericParam {
    let mut param = param.clone();
    match &mut param {
        GenericParam::Type(param) => {
            param.bounds = std::mem::take(&mut param.bounds)
                .into_iter()
                .filter(|bound| !mentions(bound, unused))
                .collect();
            param.default = param.default.take().filter(|(_, ty)| !mentions(ty, unused));
        }
        GenericParam::Const(param) => {
            param.default = param
                .default
                .take()
                .filter(|(_, value)| !mentions(value, unused));
        }
        GenericParam::Lifetime(_) => {}
    }
    param
}

#[cfg(test)]
mod tests {
    use syn::{DeriveInput, parse_quote};

    use super::*;

    fn text(tokens: impl ToTokens) -> String {
        tokens.to_token_stream().to_string()
    }

    #[test]
    fn what_is_not_used_is_left_out_and_so_is_what_is_said_about_it() {
        let input: DeriveInput = parse_quote! {
            struct Tagged<T: Clone + Into<U>, U, const N: usize = 3, V = U>
            where
                T: Ord,
                Vec<T>: From<U>,
                U: Default,
                String: Clone;
        };
        let used = used_by(
            &input.generics,
            &[&parse_quote!(Vec<T>), &parse_quote!(Map<V, N>)],
        );
        assert_eq!(
            text(&used.params),
            text(quote::quote!(T: Clone, const N: usize = 3, V))
        );
        assert_eq!(text(&used.where_clause), "where T : Ord");
    }

    #[test]
    fn a_parameter_is_told_from_what_has_its_name_elsewhere() {
        let input: DeriveInput = parse_quote!(
            struct Tagged<T, U>;
        );
        let open = |ty| -> Vec<String> {
            let open = required_by(&input.generics, &[&ty]);
            open.into_iter().map(text).collect()
        };
        assert_eq!(open(parse_quote!(HashMap<U, Vec<T>>)), ["T", "U"]);
        assert_eq!(open(parse_quote!(Vec<T::Id>)), ["Vec < T :: Id >"]);
        assert_eq!(open(parse_quote!(<T as Own>::Id)), ["< T as Own > :: Id"]);
        assert!(open(parse_quote!(other::T)).is_empty());
    }
}

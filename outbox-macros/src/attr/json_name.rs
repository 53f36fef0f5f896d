//! The JSON name of a field.

use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, Meta, MetaNameValue, Token};

use super::serde_keys;

/// The name under which a field is serialized. `None` if it has none of its own, or an unknown one.
pub(crate) fn json_name(
    ident: &Ident,
    attrs: &[Attribute],
    rename_all: Option<&Meta>,
) -> Option<String> {
    if serde_keys(attrs).any(|meta| meta.path().is_ident("flatten")) {
        return None;
    }
    if let Some(rename) = serde_keys(attrs).find(|meta| meta.path().is_ident("rename")) {
        return serialized(&rename);
    }
    let name = ident.unraw().to_string();
    match rename_all {
        None => Some(name),
        Some(rule) => renamed(&name, &serialized(rule)?),
    }
}

/// `rename = "name"`, `rename(serialize = "name", ..)`.
fn serialized(meta: &Meta) -> Option<String> {
    match meta {
        Meta::NameValue(pair) => text(pair),
        Meta::List(list) => {
            let pairs = Punctuated::<MetaNameValue, Token![,]>::parse_terminated;
            let pairs = pairs.parse2(list.tokens.clone()).ok()?;
            pairs
                .iter()
                .find(|pair| pair.path.is_ident("serialize"))
                .and_then(text)
        }
        Meta::Path(_) => None,
    }
}

fn text(pair: &MetaNameValue) -> Option<String> {
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// A snake-case field name under one of serde's `rename_all` rules.
fn renamed(name: &str, rule: &str) -> Option<String> {
    let pascal = || {
        let words = name.split('_').map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        words.collect::<String>()
    };
    Some(match rule {
        "lowercase" | "snake_case" => name.to_owned(),
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_ascii_uppercase(),
        "PascalCase" => pascal(),
        "camelCase" => {
            let pascal = pascal();
            let mut letters = pascal.chars();
            let first = letters.next().map(|first| first.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_ascii_uppercase().replace('_', "-"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;
    use crate::attr::serde_rename_all;

    #[test]
    fn a_field_is_called_what_serde_calls_it() {
        let names = |input: syn::DeriveInput| -> Vec<Option<String>> {
            let rule = serde_rename_all(&input.attrs);
            let syn::Data::Struct(data) = &input.data else {
                return Vec::new();
            };
            let fields = data.fields.iter();
            fields
                .filter_map(|field| Some((field.ident.as_ref()?, &field.attrs)))
                .map(|(ident, attrs)| json_name(ident, attrs, rule.as_ref()))
                .collect()
        };
        let known = |names: &[&str]| -> Vec<Option<String>> {
            names.iter().map(|name| Some((*name).to_owned())).collect()
        };
        assert_eq!(
            names(parse_quote! { struct S { last_mood: u8, r#type: u8 } }),
            known(&["last_mood", "type"])
        );
        assert_eq!(
            names(parse_quote! {
                #[serde(rename_all = "camelCase")]
                struct S { last_mood: u8, #[serde(rename = "Kind", default)] kind: u8 }
            }),
            known(&["lastMood", "Kind"])
        );
        assert_eq!(
            names(parse_quote! {
                #[serde(rename_all(serialize = "SCREAMING-KEBAB-CASE", deserialize = "lowercase"))]
                struct S { last_mood: u8, #[serde(rename(serialize = "k", deserialize = "l"))] kind: u8 }
            }),
            known(&["LAST-MOOD", "k"])
        );
        assert_eq!(
            names(parse_quote! {
                #[serde(rename_all = "PascalCase")]
                struct S { last_mood: u8, #[serde(flatten)] rest: u8 }
            }),
            [Some("LastMood".to_owned()), None]
        );
    }
}

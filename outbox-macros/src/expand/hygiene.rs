//! Checks that every expansion binds only names that begin with `__`: any other name would be a
//! pattern where the user has a constant or a static of that name.

use std::iter::Peekable;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree, token_stream};
use syn::{DeriveInput, parse_quote};

/// Names that the runtime shadows: see its `names`.
const HIDDEN: [&str; 2] = ["handler", "record"];

#[test]
fn what_generated_code_binds_begins_with_two_underscores() {
    let expansions = [
        super::outbox_entity(&parse_quote! {
            #[outbox(event_type = "a", version = 2, upcast(1 = Older), priority = P, retry = ["1s"], timeout = "2s", order = "user", destination = self.id)]
            struct Thin {
                #[outbox(entity_id, user_id)] id: String,
                #[outbox(metadata)] name: u8,
                #[outbox(metadata, sensitive)] value: u8,
            }
        }),
        super::outbox_entity(&parse_quote! {
            #[outbox(event_type = "b")]
            #[serde(rename_all = "camelCase")]
            struct BySerde {
                #[outbox(entity_id, user_id)] id: String,
                #[outbox(metadata)] #[serde(default)] name: u8,
            }
        }),
        super::outbox_entity(&parse_quote! {
            #[outbox(event_type = "c", snapshot, coalesce = "latest")]
            struct Snapshot {
                #[outbox(entity_id, user_id)]
                id: String,
                #[outbox(sensitive)]
                notes: String,
            }
        }),
        super::outbox_entity(&parse_quote! {
            #[outbox(event_type = "d", alias = ["e", F], entity_id = (self.tenant, self.number()))]
            struct Tenant { tenant: String }
        }),
        super::outbox_events(&parse_quote! {
            #[outbox(retired("g" = hold))]
            enum Set { Thin(Event<Thin>), #[outbox(batch = 9)] BySerde(Event<BySerde>) }
        }),
        super::entity_id(&parse_quote! { struct OrderId(Uuid); }),
        super::delivery_error(&parse_quote! {
            enum Error {
                #[outbox(retry(after = wait))] Busy { wait: Duration },
                #[outbox(transparent)] Other(Other),
            }
        }),
    ];
    for expansion in expansions {
        let bound = bound_in(expansion.clone());
        assert!(!bound.is_empty(), "nothing is bound in {expansion}");
        assert!(
            !expansion.to_string().contains("compile_error"),
            "{expansion}"
        );
        let strays: Vec<&String> = bound
            .iter()
            .filter(|name| !name.starts_with("__") && !HIDDEN.contains(&name.as_str()))
            .collect();
        assert!(strays.is_empty(), "{strays:?} in {expansion}");
    }
}

#[test]
fn what_is_bound_is_found() {
    let input: DeriveInput = parse_quote! { struct S; };
    let name = input.ident;
    let bound = bound_in(quote::quote! {
        impl #name {
            fn without_body(&self, ignored: A);
            fn f<T: B>(&self, a: &C<D, E>, mut b: [F; 2]) -> G {
                let c = h.map(|d, e: I| d);
                match self { Self::J(f) => f, Self::K { l: g, .. } => L { m: n } }
            }
        }
    });
    assert_eq!(bound, ["a", "b", "c", "d", "e", "f", "g"]);
}

/// The names bound by functions, closures, `let` and match arms, in order.
fn bound_in(tokens: TokenStream) -> Vec<String> {
    let mut bound = Vec::new();
    collect(tokens, &mut bound);
    bound
}

fn collect(tokens: TokenStream, bound: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "fn" => parameters(&mut tokens, bound),
            TokenTree::Ident(word) if word == "let" => bound.extend(first_name(&mut tokens)),
            TokenTree::Punct(pipe) if pipe.as_char() == '|' => closure(&mut tokens, bound),
            TokenTree::Group(group) => {
                if is_arm(&mut tokens) {
                    pattern(&group, bound);
                } else {
                    collect(group.stream(), bound);
                }
            }
            _ => {}
        }
    }
}

type Tokens = Peekable<token_stream::IntoIter>;

/// Up to the body, without which a function binds nothing.
fn parameters(tokens: &mut Tokens, bound: &mut Vec<String>) {
    let mut list = None;
    while let Some(token) = tokens.peek() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                bound.extend(list.into_iter().flat_map(annotated));
                return;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                list.get_or_insert(group.stream());
            }
            TokenTree::Punct(end) if end.as_char() == ';' => return,
            _ => {}
        }
        tokens.next();
    }
}

/// The `a` of `a: A`.
fn annotated(list: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = list.into_iter().collect();
    let is_single_colon = |at: usize| {
        let is_colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        is_colon(at) && !is_colon(at + 1)
    };
    let names = tokens
        .iter()
        .enumerate()
        .filter_map(|(at, token)| match token {
            TokenTree::Ident(name) if name != "_" && is_single_colon(at + 1) => {
                Some(name.to_string())
            }
            _ => None,
        });
    names.collect()
}

/// The parameters between two `|`; an annotation may only be a path, a reference or in brackets.
fn closure(tokens: &mut Tokens, bound: &mut Vec<String>) {
    let list: TokenStream = tokens
        .take_while(|token| !matches!(token, TokenTree::Punct(pipe) if pipe.as_char() == '|'))
        .collect();
    let mut is_name = true;
    for token in list {
        match token {
            TokenTree::Ident(name) if is_name && name != "mut" => {
                bound.push(name.to_string());
                is_name = false;
            }
            TokenTree::Punct(comma) if comma.as_char() == ',' => is_name = true,
            _ => {}
        }
    }
}

/// The name after `let`, if it is a single one.
fn first_name(tokens: &mut Tokens) -> Option<String> {
    let name = tokens
        .next()
        .filter(|token| token.to_string() != "mut")
        .or_else(|| tokens.next())?;
    let is_name = matches!(&name, TokenTree::Ident(name) if name != "_");
    is_name.then(|| name.to_string())
}

/// Whether `=>` follows.
fn is_arm(tokens: &mut Tokens) -> bool {
    let mut ahead = tokens.clone();
    let mut is = |expected| matches!(ahead.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == expected);
    is('=') && is('>')
}

/// The names in a pattern: lowercase words that no `:` follows.
fn pattern(group: &Group, bound: &mut Vec<String>) {
    let mut tokens = group.stream().into_iter().peekable();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(name) = token else {
            continue;
        };
        let is_field =
            matches!(tokens.peek(), Some(TokenTree::Punct(colon)) if colon.as_char() == ':');
        let name = name.to_string();
        if !is_field && name != "_" && name == name.to_lowercase() {
            bound.push(name);
        }
    }
}

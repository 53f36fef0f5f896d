//! Implementations of the storage contract, and the methods that each leaves to its default. This
//! reads tokens, not items, because some implementations are inside macros.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Traits whose implementations by wrappers must forward every method.
pub const TRAITS: &[&str] = &["OutboxQueue", "OutboxRepository"];

/// The body after `trait Name` or `Name for Type`.
#[derive(Debug)]
struct Block {
    of: String,
    implementor: Option<String>,
    methods: BTreeSet<String>,
}

/// An implementation of one of [`TRAITS`], with the methods that it defines.
#[derive(Debug)]
pub struct Implementation {
    pub of: String,
    pub implementor: String,
    pub methods: BTreeSet<String>,
}

/// The methods that a trait declares in `code`; empty if the declaration is elsewhere.
pub fn declared(code: &str, name: &str) -> BTreeSet<String> {
    let blocks = blocks(code).into_iter();
    let mut of_trait = blocks.filter(|block| block.of == name && block.implementor.is_none());
    of_trait
        .next()
        .map(|block| block.methods)
        .unwrap_or_default()
}

pub fn implementations(code: &str) -> Vec<Implementation> {
    let made = |block: Block| {
        let Block {
            of,
            implementor,
            methods,
        } = block;
        let implementor = implementor?;
        Some(Implementation {
            of,
            implementor,
            methods,
        })
    };
    blocks(code).into_iter().filter_map(made).collect()
}

fn blocks(code: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let tokens: TokenStream = code.parse().expect("Rust code");
    search(tokens, &mut found);
    found
}

fn search(tokens: TokenStream, found: &mut Vec<Block>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => search(group.stream(), found),
            TokenTree::Ident(ident) if TRAITS.iter().any(|name| ident == name) => {
                let is_at = |index: Option<usize>, word: &str| {
                    let token = index.and_then(|index| tokens.get(index));
                    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
                };
                let is_implemented = is_at(Some(at + 1), "for");
                if !is_implemented && !is_at(at.checked_sub(1), "trait") {
                    continue;
                }
                let rest = &tokens[at + 1..];
                let is_body = |token: &TokenTree| body(token).is_some();
                let Some(end) = rest.iter().position(is_body) else {
                    continue;
                };
                let implementor: TokenStream = rest[..end].iter().skip(1).cloned().collect();
                let implementor = implementor.to_string().replace(' ', "");
                found.push(Block {
                    of: ident.to_string(),
                    implementor: is_implemented.then_some(implementor),
                    methods: body(&rest[end]).map(methods).unwrap_or_default(),
                });
            }
            _ => {}
        }
    }
}

fn body(token: &TokenTree) -> Option<TokenStream> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
        _ => None,
    }
}

/// The names after `fn`, with the `$` of a macro parameter.
fn methods(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "fn" => match tokens.next() {
                Some(TokenTree::Ident(name)) => {
                    found.insert(name.to_string());
                }
                Some(TokenTree::Punct(_)) => {
                    let name = tokens.next().map(|name| format!("${name}"));
                    found.extend(name);
                }
                _ => {}
            },
            // Macro repetitions, but not bodies.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                found.extend(methods(group.stream()));
            }
            _ => {}
        }
    }
    found
}

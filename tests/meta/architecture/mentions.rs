//! Every path that the code of a module mentions: in imports, types, expressions, attributes and
//! macros.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Ident, Item, ItemExternCrate, ItemMacro, ItemMod, ItemUse, Macro, Meta, UseTree,
    Visibility,
};

/// The first segment of a path that begins with `::`.
pub const EXTERN: &str = "::";

/// A path as written, without generics.
#[derive(Debug, Clone)]
pub struct Mention {
    pub path: Vec<String>,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In code.
    Used,
    /// In a private `use`.
    Imported,
    /// In a `use` with a visibility, which makes the name available to others.
    Reexported,
    /// `use module::*`
    Glob,
}

/// The contents of a module; the contents of its submodules are left to the caller.
#[derive(Default)]
pub struct Found<'ast> {
    pub modules: Vec<&'ast ItemMod>,
    /// Modules compiled only for tests.
    pub test_modules: Vec<&'ast ItemMod>,
    pub items: BTreeSet<String>,
    pub aliases: BTreeMap<String, Vec<Vec<String>>>,
    pub globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    pub methods: BTreeSet<String>,
}

/// Reads the items of a module, except those compiled only for tests.
pub fn collect(items: &[Item]) -> Found<'_> {
    let mut found = Found::default();
    for item in items {
        found.visit_item(item);
    }
    found
}

/// An identifier without the `r#` prefix of a raw identifier.
pub fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

impl Found<'_> {
    fn mention(&mut self, path: Vec<String>, how: How) {
        if !path.is_empty() {
            self.mentions.push(Mention { path, how });
        }
    }

    fn alias(&mut self, name: String, path: Vec<String>) {
        self.aliases.entry(name).or_default().push(path);
    }

    fn import(&mut self, tree: &UseTree, mut prefix: Vec<String>, how: How) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(plain(&path.ident));
                self.import(&path.tree, prefix, how);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix.clone(), how);
                }
            }
            UseTree::Glob(_) => {
                self.mention(prefix.clone(), How::Glob);
                self.globs.push(prefix);
            }
            UseTree::Name(name) => {
                prefix.push(plain(&name.ident));
                self.import_as(None, prefix, how);
            }
            UseTree::Rename(rename) => {
                prefix.push(plain(&rename.ident));
                self.import_as(Some(plain(&rename.rename)), prefix, how);
            }
        }
    }

    fn import_as(&mut self, name: Option<String>, mut path: Vec<String>, how: How) {
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.alias(name, path.clone());
        }
        self.mention(path, how);
    }

    /// Collects the paths among the tokens of a macro, which need not be Rust.
    fn scan(&mut self, tokens: TokenStream, prefix: &[String]) {
        let mut path = prefix.to_vec();
        // Whether the next token continues the path.
        let mut continues = !prefix.is_empty();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) => {
                    if !continues {
                        self.mention(std::mem::take(&mut path), How::Used);
                    }
                    path.push(plain(&ident));
                    continues = false;
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':' && punct.spacing() == Spacing::Joint =>
                {
                    // The second colon.
                    tokens.next();
                    if path.is_empty() {
                        path.push(EXTERN.to_owned());
                    }
                    continues = true;
                }
                TokenTree::Group(group)
                    if continues && group.delimiter() == Delimiter::Brace && !path.is_empty() =>
                {
                    self.scan(group.stream(), &path);
                    path.clear();
                    continues = false;
                }
                other => {
                    self.mention(std::mem::take(&mut path), How::Used);
                    continues = false;
                    match other {
                        TokenTree::Group(group) => self.scan(group.stream(), &[]),
                        TokenTree::Punct(punct) if punct.as_char() == ',' => {
                            path = prefix.to_vec();
                            continues = !prefix.is_empty();
                        }
                        _ => {}
                    }
                }
            }
        }
        if !continues {
            self.mention(path, How::Used);
        }
    }

    /// Collects paths in the strings of an attribute, as in `#[serde(with = "crate::wire")]`.
    fn scan_texts(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.scan_texts(group.stream()),
                TokenTree::Literal(literal) => {
                    let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else {
                        continue;
                    };
                    if let Ok(path) = text.parse::<syn::Path>()
                        && path.segments.len() > 1
                    {
                        self.mention(segments(&path), How::Used);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Found<'ast> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attrs, name) = attrs_and_name(item);
        if attrs.iter().any(is_for_tests) {
            if let Item::Mod(module) = item {
                self.test_modules.push(module);
            }
            return;
        }
        self.items.extend(name.map(plain));
        if let Item::Type(alias) = item
            && let syn::Type::Path(of) = &*alias.ty
        {
            self.alias(plain(&alias.ident), segments(&of.path));
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.modules.push(module);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let how = match item.vis {
            Visibility::Inherited => How::Imported,
            _ => How::Reexported,
        };
        let prefix = item.leading_colon.as_ref().map(|_| EXTERN.to_owned());
        self.import(&item.tree, prefix.into_iter().collect(), how);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let path = vec![EXTERN.to_owned(), plain(&item.ident)];
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        self.alias(plain(name), path.clone());
        self.mention(path, How::Imported);
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        self.items.extend(item.ident.as_ref().map(plain));
        visit::visit_item_macro(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(segments(path), How::Used);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        // `<Type>::method`
        if let Some(of) = &expr.qself
            && of.position == 0
            && let syn::Type::Path(of) = &*of.ty
        {
            let path = [segments(&of.path), segments(&expr.path)].concat();
            self.mention(
                path.into_iter().filter(|it| it != EXTERN).collect(),
                How::Used,
            );
        }
        visit::visit_expr_path(self, expr);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.scan(invoked.tokens.clone(), &[]);
    }

    fn visit_attribute(&mut self, attr: &'ast Attribute) {
        if let Meta::List(list) = &attr.meta {
            self.scan(list.tokens.clone(), &[]);
            self.scan_texts(list.tokens.clone());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.methods.insert(plain(&call.method));
        visit::visit_expr_method_call(self, call);
    }

    // `pub(in path)` does not use the module that the path names.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn segments(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.as_ref().map(|_| EXTERN.to_owned());
    let names = path.segments.iter().map(|segment| plain(&segment.ident));
    leading.into_iter().chain(names).collect()
}

/// Whether this is `#[cfg(test)]`, alone or within `all(..)`.
fn is_for_tests(attr: &Attribute) -> bool {
    let Meta::List(list) = &attr.meta else {
        return false;
    };
    let mut tokens = list.tokens.clone().into_iter();
    let is_test = |token: TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "test");
    let first = tokens.next();
    let within = match (&first, tokens.next()) {
        (Some(TokenTree::Ident(all)), Some(TokenTree::Group(group))) if all == "all" => {
            group.stream().into_iter().any(is_test)
        }
        _ => false,
    };
    list.path.is_ident("cfg") && (within || first.is_some_and(is_test))
}

/// The attributes of an item, and the name under which paths can refer to it, if any.
fn attrs_and_name(item: &Item) -> (&[Attribute], Option<&Ident>) {
    match item {
        Item::Const(it) => (&it.attrs, Some(&it.ident)),
        Item::Enum(it) => (&it.attrs, Some(&it.ident)),
        Item::Fn(it) => (&it.attrs, Some(&it.sig.ident)),
        Item::Static(it) => (&it.attrs, Some(&it.ident)),
        Item::Struct(it) => (&it.attrs, Some(&it.ident)),
        Item::Trait(it) => (&it.attrs, Some(&it.ident)),
        // Type aliases are also followed to their targets.
        Item::Type(it) => (&it.attrs, Some(&it.ident)),
        Item::TraitAlias(it) => (&it.attrs, Some(&it.ident)),
        Item::Union(it) => (&it.attrs, Some(&it.ident)),
        Item::ExternCrate(it) => (&it.attrs, None),
        Item::Impl(it) => (&it.attrs, None),
        Item::Macro(it) => (&it.attrs, None),
        Item::Mod(it) => (&it.attrs, None),
        Item::Use(it) => (&it.attrs, None),
        _ => (&[], None),
    }
}

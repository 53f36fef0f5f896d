//! The public items of a package and their methods, with their documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outbox_tests::sources::rust_files;
use syn::{
    Attribute, ImplItem, Item, Receiver, ReceiverKind, ReturnType, TraitItem, Type, UseTree,
    Visibility,
};

use super::docs;
use super::kinds::{Allowed, is_for_stores, is_getter};
use super::mentions::{EXTERN, plain};
use super::resolve::Target;
use super::tree::{ModuleId, Tree};

/// A package, and the part of it that is its surface.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// From the root of the repository.
    pub folder: &'a str,
    /// The modules whose public items are part of it; the crate's root is `""`.
    pub modules: &'a [&'a str],
    /// Further items, by their paths.
    pub items: &'a [&'a str],
    /// Re-exports of other crates.
    pub foreign: &'a [&'a str],
    /// Items that a macro makes, so that they do not stand in the sources.
    pub generated: &'a [&'a str],
}

/// The surface of a package.
#[derive(Debug, Default)]
pub struct Surface {
    pub items: Vec<Shown>,
    /// Exported names whose items are not in the sources, sorted.
    pub not_found: Vec<String>,
    /// The documentation at re-exports of other crates' items, by their paths.
    pub foreign_docs: BTreeMap<String, String>,
}

/// A type, trait, function, macro or constant, with its methods.
#[derive(Debug, Default)]
pub struct Shown {
    pub name: String,
    /// Its pages, as rustdoc names them: `http/struct.Policy`.
    pub pages: BTreeSet<String>,
    /// The kind of item, as rustdoc names it.
    kind: &'static str,
    /// Of the item and its `impl` blocks.
    pub docs: String,
    pub methods: Vec<Method>,
    /// Fields and variants.
    pub parts: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Method {
    pub name: String,
    pub docs: String,
    pub is_getter: bool,
    /// Takes `self` and returns `Self`: it sets something.
    pub is_setting: bool,
}

/// What lacks an example.
#[derive(Debug, Default)]
pub struct Lacking {
    pub lacking: Vec<String>,
    /// The number of items that need none.
    pub allowed: usize,
}

/// A setting, as the method that sets it.
#[derive(Debug)]
pub struct Setting<'s> {
    pub name: String,
    pub docs: &'s str,
}

impl Surface {
    /// Reads a package from the folder of its sources.
    pub fn read(folder: &Path, package: &Package<'_>) -> Self {
        let files: Vec<(String, String)> = rust_files(folder)
            .into_iter()
            .map(|path| {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                let code = std::fs::read_to_string(&path).unwrap();
                (name.replace('\\', "/"), code)
            })
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, code)| (name.as_str(), code.as_str()))
            .collect();
        Self::of(&files, package)
    }

    /// Reads a package from its files in memory.
    pub fn of(files: &[(&str, &str)], package: &Package<'_>) -> Self {
        let sources = Sources {
            tree: Tree::of(files),
            files: files
                .iter()
                .map(|(name, code)| {
                    let file = syn::parse_file(code);
                    let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
                    ((*name).to_owned(), file)
                })
                .collect(),
        };
        sources.surface(package)
    }

    /// The number of methods.
    pub fn methods(&self) -> usize {
        self.items.iter().map(|item| item.methods.len()).sum()
    }

    /// The items and methods that no example is about, except those of these kinds.
    pub fn lacking(&self, allowed: impl IntoIterator<Item = Allowed>) -> Lacking {
        let allowed: Vec<Allowed> = allowed.into_iter().collect();
        let needs_none = |docs: &str, is_getter: bool| {
            allowed.iter().any(|kind| match kind {
                Allowed::Getter => is_getter,
                Allowed::ForStores => is_for_stores(docs),
            })
        };
        let mut found = Lacking::default();
        for item in &self.items {
            if item.kind == "constant" {
                // Its documentation shows its value.
                found.allowed += 1;
            } else if !item.is_shown() {
                match needs_none(&item.docs, false) {
                    true => found.allowed += 1,
                    false => found.lacking.push(item.name.clone()),
                }
            }
            for method in &item.methods {
                if self.is_shown(item, method) {
                    continue;
                }
                let is_getter = method.is_getter && docs::has_example(&item.docs);
                match needs_none(&method.docs, is_getter) {
                    true => found.allowed += 1,
                    false => found
                        .lacking
                        .push(format!("{}::{}", item.name, method.name)),
                }
            }
        }
        found
    }

    fn is_shown(&self, item: &Shown, method: &Method) -> bool {
        let is_named_in = |docs: &str| docs::names(docs, &method.name);
        if is_named_in(&method.docs) || is_named_in(&item.docs) {
            return true;
        }
        let Some(pointer) = docs::pointer(&method.docs) else {
            return false;
        };
        let mut siblings = item.methods.iter().filter(|it| it.name == pointer);
        let mut items = self.items.iter().filter(|it| it.name == pointer);
        siblings.any(|it| is_named_in(&it.docs)) || items.any(|it| is_named_in(&it.docs))
    }

    /// The pages of the surface as rustdoc names them, with the anchors of methods and variants.
    pub fn pages(&self) -> BTreeSet<String> {
        let mut pages = BTreeSet::from(["index".to_owned()]);
        for item in &self.items {
            for page in &item.pages {
                let of_trait = if item.kind == "trait" { "ty" } else { "" };
                let methods = item.methods.iter();
                pages.extend(methods.map(|it| format!("{page}#{of_trait}method.{}", it.name)));
                let kind = if item.kind == "enum" {
                    "variant"
                } else {
                    "structfield"
                };
                pages.extend(item.parts.iter().map(|it| format!("{page}#{kind}.{it}")));
                if let Some((module, _)) = page.rsplit_once('/') {
                    pages.insert(format!("{module}/index"));
                }
                pages.insert(page.clone());
            }
        }
        let derives = self
            .foreign_docs
            .keys()
            .filter_map(|it| it.rsplit_once("::"));
        pages.extend(derives.map(|(_, name)| format!("derive.{name}")));
        pages
    }

    /// The methods of builders and the like that set something.
    pub fn settings(&self) -> Vec<Setting<'_>> {
        let builders = ["Console", "Import", "SourceTable"];
        let is_builder = |item: &&Shown| {
            item.name.ends_with("Builder") || builders.contains(&item.name.as_str())
        };
        // A handler is no setting: without one, nothing can be built.
        let is_setting = |it: &&Method| it.is_setting && !it.name.starts_with("handle");
        let builders = self.items.iter().filter(is_builder);
        builders
            .flat_map(|item| {
                let settings = item.methods.iter().filter(is_setting);
                settings.map(|method| Setting {
                    name: format!("{}::{}", item.name, method.name),
                    docs: &method.docs,
                })
            })
            .collect()
    }
}

impl Shown {
    fn is_shown(&self) -> bool {
        let methods = self.methods.iter().map(|method| &method.name);
        let mut names = methods.chain(&self.parts).chain([&self.name]);
        names.any(|name| docs::names(&self.docs, name))
    }
}

/// A parsed package.
struct Sources {
    tree: Tree,
    files: BTreeMap<String, syn::File>,
}

/// A name that a module exports.
struct Export {
    name: String,
    path: Vec<String>,
    docs: String,
    /// Whether the path is given from the root, not found in a module.
    is_listed: bool,
}

impl Export {
    fn page(&self, module: &[String], kind: &str) -> String {
        let folders = match self.is_listed {
            true => &self.path[..self.path.len() - 1],
            false => module,
        };
        let mut page: String = folders.iter().map(|name| format!("{name}/")).collect();
        page.push_str(&format!("{kind}.{}", self.name));
        page
    }
}

impl Sources {
    fn surface(&self, package: &Package<'_>) -> Surface {
        let mut surface = Surface::default();
        // By the module that defines it and its name there, so that none is listed twice.
        let mut found: BTreeMap<(ModuleId, String), Shown> = BTreeMap::new();
        let mut exports = Vec::new();
        for path in package.modules {
            let module = self.module(path);
            exports.extend(self.exports(module).into_iter().map(|it| (module, it)));
        }
        for path in package.items {
            let path: Vec<String> = path.split("::").map(str::to_owned).collect();
            let name = path.last().cloned().unwrap_or_default();
            let docs = String::new();
            let is_listed = true;
            exports.push((
                0,
                Export {
                    name,
                    path,
                    docs,
                    is_listed,
                },
            ));
        }
        for (from, export) in exports {
            let targets = self.tree.resolve(from, &export.path);
            let mut is_known = false;
            for target in targets {
                match target {
                    Target::Item(module) => {
                        let name = export.path.last().unwrap();
                        let key = (module, name.clone());
                        if let Some(item) = self.item(module, name) {
                            is_known = true;
                            let page = export.page(&self.tree.modules[from].path, item.kind);
                            found.entry(key).or_insert(item).pages.insert(page);
                        }
                    }
                    Target::External(path) if !export.docs.is_empty() => {
                        let path = path.join("::");
                        is_known = path.starts_with("outbox_macros::");
                        surface.foreign_docs.insert(path, export.docs.clone());
                    }
                    Target::Module(_) | Target::External(_) => {}
                }
            }
            if !is_known {
                surface.not_found.push(export.name);
            }
        }
        for id in 0..self.tree.modules.len() {
            self.add_methods(id, &mut found);
        }
        // Macros are exported from the root, wherever they stand.
        for id in 0..self.tree.modules.len() {
            for item in self.items(id) {
                if let Item::Macro(item) = item
                    && item
                        .attrs
                        .iter()
                        .any(|it| it.path().is_ident("macro_export"))
                    && !docs::is_hidden(&item.attrs)
                    && let Some(name) = &item.ident
                {
                    let shown = Shown {
                        name: plain(name),
                        docs: docs::of(&item.attrs),
                        pages: BTreeSet::from([format!("macro.{name}")]),
                        kind: "macro",
                        ..Shown::default()
                    };
                    found.insert((id, shown.name.clone()), shown);
                }
            }
        }
        surface.items = found.into_values().collect();
        surface.not_found.sort_unstable();
        surface.not_found.dedup();
        surface
    }

    fn module(&self, path: &str) -> ModuleId {
        let wanted: Vec<&str> = path.split("::").filter(|it| !it.is_empty()).collect();
        let modules = self.tree.modules.iter();
        let found = modules.enumerate().find(|(_, it)| it.path == wanted);
        found.unwrap_or_else(|| panic!("no module {path:?}")).0
    }

    /// The items of a module, which is a file or stands in one.
    fn items(&self, id: ModuleId) -> &[Item] {
        let module = &self.tree.modules[id];
        let mut of_file = module;
        let mut below = Vec::new();
        while let Some(parent) = of_file.parent.map(|parent| &self.tree.modules[parent]) {
            if parent.file != of_file.file {
                break;
            }
            below.extend(of_file.path.last());
            of_file = parent;
        }
        let mut items: &[Item] = &self.files[&module.file].items;
        for name in below.into_iter().rev() {
            let inner = items.iter().find_map(|item| match item {
                Item::Mod(item) if plain(&item.ident) == *name => item.content.as_ref(),
                _ => None,
            });
            items = inner.map_or(&[], |(_, items)| items);
        }
        items
    }

    /// What a module exports: its own public items, and what it re-exports.
    fn exports(&self, id: ModuleId) -> Vec<Export> {
        let mut exports = Vec::new();
        for item in self.items(id) {
            if let Item::Use(item) = item {
                if is_public(&item.vis) && !docs::is_hidden(&item.attrs) {
                    let docs = docs::of(&item.attrs);
                    let is_foreign = item.leading_colon.is_some();
                    let mut before = Vec::from_iter(is_foreign.then(|| EXTERN.to_owned()));
                    flatten(&item.tree, &mut before, &docs, &mut exports);
                }
                continue;
            }
            let Some((name, vis, attrs)) = head(item) else {
                continue;
            };
            if is_public(vis) && !docs::is_hidden(attrs) {
                exports.push(Export {
                    path: vec!["self".to_owned(), name.clone()],
                    name,
                    docs: String::new(),
                    is_listed: false,
                });
            }
        }
        exports
    }

    fn item(&self, module: ModuleId, name: &str) -> Option<Shown> {
        let items = self.items(module);
        let item = items
            .iter()
            .find(|it| head(it).is_some_and(|(found, ..)| found == name))?;
        let (_, _, attrs) = head(item)?;
        let mut shown = Shown {
            name: name.to_owned(),
            docs: docs::of(attrs),
            kind: kind(item),
            ..Shown::default()
        };
        match item {
            Item::Struct(item) => {
                let fields = item.fields.iter().filter(|field| is_public(&field.vis));
                shown.parts = fields
                    .filter_map(|it| it.ident.as_ref().map(plain))
                    .collect();
            }
            Item::Enum(item) => {
                shown.parts = item.variants.iter().map(|it| plain(&it.ident)).collect();
            }
            Item::Trait(item) => {
                for part in &item.items {
                    if let TraitItem::Fn(method) = part
                        && !docs::is_hidden(&method.attrs)
                    {
                        shown.methods.push(Method {
                            name: plain(&method.sig.ident),
                            docs: docs::of(&method.attrs),
                            is_getter: false,
                            is_setting: false,
                        });
                    }
                }
            }
            _ => {}
        }
        Some(shown)
    }

    /// Adds the methods of the inherent `impl` blocks of a module.
    fn add_methods(&self, id: ModuleId, found: &mut BTreeMap<(ModuleId, String), Shown>) {
        for item in self.items(id) {
            let Item::Impl(item) = item else { continue };
            let Type::Path(of) = &*item.self_ty else {
                continue;
            };
            if item.trait_.is_some() || docs::is_hidden(&item.attrs) {
                continue;
            }
            let path: Vec<String> = of.path.segments.iter().map(|it| plain(&it.ident)).collect();
            let Some(name) = path.last() else { continue };
            for target in self.tree.resolve(id, &path) {
                let Target::Item(module) = target else {
                    continue;
                };
                let Some(shown) = found.get_mut(&(module, name.clone())) else {
                    continue;
                };
                shown.docs.push_str(&docs::of(&item.attrs));
                for part in &item.items {
                    if let ImplItem::Fn(method) = part
                        && is_public(&method.vis)
                        && !docs::is_hidden(&method.attrs)
                    {
                        let takes_self = method.sig.receiver().is_some_and(is_by_value);
                        shown.methods.push(Method {
                            name: plain(&method.sig.ident),
                            docs: docs::of(&method.attrs),
                            is_getter: is_getter(&method.sig, &method.block),
                            is_setting: takes_self && returns_self(&method.sig.output),
                        });
                    }
                }
            }
        }
    }
}

fn is_by_value(receiver: &Receiver) -> bool {
    matches!(receiver.kind, ReceiverKind::Value)
}

fn returns_self(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else {
        return false;
    };
    matches!(&**output, Type::Path(path) if path.path.is_ident("Self"))
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// The name, visibility and attributes of an item that can have an example.
fn head(item: &Item) -> Option<(String, &Visibility, &[Attribute])> {
    let (ident, vis, attrs) = match item {
        Item::Const(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs),
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Union(item) => (&item.ident, &item.vis, &item.attrs),
        _ => return None,
    };
    Some((plain(ident), vis, attrs.as_slice()))
}

/// The kind of an item in the name of its page.
fn kind(item: &Item) -> &'static str {
    match item {
        Item::Const(_) => "constant",
        Item::Enum(_) => "enum",
        Item::Fn(_) => "fn",
        Item::Struct(_) => "struct",
        Item::Trait(_) => "trait",
        Item::Type(_) => "type",
        _ => "union",
    }
}

/// The names of a `use`.
fn flatten(tree: &UseTree, before: &mut Vec<String>, docs: &str, exports: &mut Vec<Export>) {
    let mut export = |name: String, before: &[String], last: String| {
        exports.push(Export {
            name,
            path: before.iter().cloned().chain([last]).collect(),
            docs: docs.to_owned(),
            is_listed: false,
        });
    };
    match tree {
        UseTree::Path(path) => {
            before.push(plain(&path.ident));
            flatten(&path.tree, before, docs, exports);
            before.pop();
        }
        UseTree::Name(name) => export(plain(&name.ident), before, plain(&name.ident)),
        UseTree::Rename(rename) if rename.rename != "_" => {
            export(plain(&rename.rename), before, plain(&rename.ident));
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, docs, exports);
            }
        }
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// The names of the derives that a crate defines.
pub fn derives(file: &Path) -> Vec<String> {
    let code = std::fs::read_to_string(file).unwrap();
    let file = syn::parse_file(&code).unwrap();
    let mut found = Vec::new();
    for item in &file.items {
        let Item::Fn(item) = item else { continue };
        for attr in &item.attrs {
            if attr.path().is_ident("proc_macro_derive") {
                let _ = attr.parse_nested_meta(|meta| {
                    if let Some(name) = meta.path.get_ident()
                        && name != "attributes"
                    {
                        found.push(name.to_string());
                    }
                    // The list in `attributes(..)`.
                    if meta.input.peek(syn::token::Paren) {
                        let content;
                        syn::parenthesized!(content in meta.input);
                        content.parse::<proc_macro2::TokenStream>()?;
                    }
                    Ok(())
                });
            }
        }
    }
    found
}

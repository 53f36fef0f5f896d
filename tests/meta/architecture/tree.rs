//! The modules of a crate, as its files declare them, and every path that each module mentions.
//!
//! Files are parsed, and modules are found by their declarations, so a rule sees what the compiler
//! sees: nested groups, renames, inline paths, and macro arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outbox_tests::sources::rust_files;
use syn::{Attribute, Item, ItemMod};

use super::mentions::{self, Mention};

/// The index of a module in its [`Tree`].
pub type ModuleId = usize;

/// A parsed crate.
#[derive(Debug)]
pub struct Tree {
    pub modules: Vec<Module>,
    /// Files below the crate root that no `mod` declares.
    pub undeclared: Vec<String>,
}

/// A module: a file, or inline within one.
#[derive(Debug)]
pub struct Module {
    /// Relative to the folder of the crate root.
    pub file: String,
    /// Empty for the root.
    pub path: Vec<String>,
    pub parent: Option<ModuleId>,
    pub children: BTreeMap<String, ModuleId>,
    /// Names defined here.
    pub items: BTreeSet<String>,
    /// Names that refer to something else: imports and type aliases.
    pub aliases: BTreeMap<String, Vec<Vec<String>>>,
    /// Modules imported with a glob.
    pub globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    pub methods: BTreeSet<String>,
}

impl Module {
    /// The top-level module that contains this one; `None` for the root.
    pub fn top(&self) -> Option<&str> {
        self.path.first().map(String::as_str)
    }
}

impl Tree {
    /// Parses the crate whose root is `lib.rs` in this folder, or `main.rs` of a program without a
    /// library.
    pub fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for path in rust_files(folder) {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let name = name.replace('\\', "/");
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
        Self::parse(&files)
    }

    /// Parses an in-memory crate, for controls.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(name, code): &(&str, &str)| ((*name).to_owned(), (*code).to_owned());
        Self::parse(&files.iter().map(owned).collect())
    }

    fn parse(files: &BTreeMap<String, String>) -> Self {
        let mut builder = Builder {
            files,
            declared: BTreeSet::new(),
            modules: Vec::new(),
        };
        let root = match files.contains_key("lib.rs") {
            true => "lib.rs",
            false => "main.rs",
        };
        builder.file(root, "", Vec::new(), None);
        let declared = &builder.declared;
        let undeclared = files.keys().filter(|file| !declared.contains(*file));
        Self {
            undeclared: undeclared.cloned().collect(),
            modules: builder.modules,
        }
    }
}

struct Builder<'f> {
    files: &'f BTreeMap<String, String>,
    declared: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Builder<'_> {
    /// Adds the module of a file, whose submodules are below `folder`.
    fn file(
        &mut self,
        file: &str,
        folder: &str,
        path: Vec<String>,
        parent: Option<ModuleId>,
    ) -> ModuleId {
        let code = &self.files[file];
        let parsed = syn::parse_file(code).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.declared.insert(file.to_owned());
        self.module(file, folder, path, parent, &parsed.items)
    }

    fn module(
        &mut self,
        file: &str,
        folder: &str,
        path: Vec<String>,
        parent: Option<ModuleId>,
        items: &[Item],
    ) -> ModuleId {
        let found = mentions::collect(items);
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            path: path.clone(),
            parent,
            children: BTreeMap::new(),
            items: found.items,
            aliases: found.aliases,
            globs: found.globs,
            mentions: found.mentions,
            methods: found.methods,
        });
        for module in found.test_modules {
            if module.content.is_none() {
                let name = mentions::plain(&module.ident);
                let (file, _) = self.file_of(module, file, folder, &name);
                self.declared.insert(file);
            }
        }
        for module in found.modules {
            let name = mentions::plain(&module.ident);
            let path = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let child = match &module.content {
                Some((_, items)) => self.module(file, &join(folder, &name), path, Some(id), items),
                None => {
                    let (child, folder) = self.file_of(module, file, folder, &name);
                    self.file(&child, &folder, path, Some(id))
                }
            };
            self.modules[id].children.insert(name, child);
        }
        id
    }

    /// The file of `mod name;`, and the folder of its submodules.
    fn file_of(&self, module: &ItemMod, file: &str, folder: &str, name: &str) -> (String, String) {
        if let Some(path) = explicit_path(&module.attrs) {
            let here = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = join(here, &path);
            let below = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            return (path.clone(), below.to_owned());
        }
        let below = join(folder, name);
        let candidates = [format!("{below}.rs"), format!("{below}/mod.rs")];
        let found = candidates.iter().find(|it| self.files.contains_key(*it));
        let found = found.unwrap_or_else(|| panic!("{file}: `mod {name}` has no file"));
        (found.clone(), below)
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The path in `#[path = ".."]`, if any.
fn explicit_path(attrs: &[Attribute]) -> Option<String> {
    attrs.iter().find_map(|attr| {
        let syn::Meta::NameValue(meta) = &attr.meta else {
            return None;
        };
        match &meta.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) if meta.path.is_ident("path") => Some(text.value()),
            _ => None,
        }
    })
}

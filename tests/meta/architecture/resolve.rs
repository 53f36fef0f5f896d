//! Path resolution: through groups, renames, `self` and `super`, globs and re-exports.

use std::collections::BTreeSet;

use super::mentions::{EXTERN, How, Mention};
use super::tree::{ModuleId, Tree};

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An item that this module defines.
    Item(ModuleId),
    Module(ModuleId),
    /// A path of another crate, or a name unknown here, such as a local variable.
    External(Vec<String>),
}

/// A use of one module by another.
#[derive(Debug, Clone)]
pub struct Edge {
    pub from: ModuleId,
    pub to: ModuleId,
    pub how: How,
    /// Whether the path names an item in the module rather than the module itself.
    pub is_item: bool,
    pub written: String,
}

impl Tree {
    /// All uses of one module by another.
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (from, mention) in self.mentions() {
            for target in self.resolve(from, &mention.path) {
                let (to, is_item) = match target {
                    Target::Item(to) => (to, true),
                    // A variable may have the name of a module.
                    Target::Module(_) if mention.how == How::Used && mention.path.len() == 1 => {
                        continue;
                    }
                    Target::Module(to) => (to, mention.how == How::Glob),
                    Target::External(_) => continue,
                };
                edges.push(Edge {
                    from,
                    to,
                    how: mention.how,
                    is_item,
                    written: mention.path.join("::"),
                });
            }
        }
        edges
    }

    /// The paths of other crates that the modules mention, each with its file.
    pub fn externals(&self) -> Vec<(&str, String)> {
        let mut found = BTreeSet::new();
        for (from, mention) in self.mentions() {
            for target in self.resolve(from, &mention.path) {
                if let Target::External(path) = target
                    && (path.len() > 1 || mention.how != How::Used)
                {
                    found.insert((self.modules[from].file.as_str(), path.join("::")));
                }
            }
        }
        found.into_iter().collect()
    }

    fn mentions(&self) -> impl Iterator<Item = (ModuleId, &Mention)> {
        let modules = self.modules.iter().enumerate();
        modules.flat_map(|(id, module)| module.mentions.iter().map(move |it| (id, it)))
    }

    /// Resolves a path that a module mentions. There are several targets if the name has several
    /// kinds: a function and a module may share one.
    pub fn resolve(&self, from: ModuleId, path: &[String]) -> Vec<Target> {
        let mut targets = self.follow(from, path, &mut BTreeSet::new());
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    fn follow(&self, from: ModuleId, path: &[String], seen: &mut Seen) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let parent = self.modules[from].parent.unwrap_or(0);
        let (module, rest) = match first.as_str() {
            EXTERN => return vec![Target::External(rest.to_vec())],
            "Self" => return Vec::new(),
            "crate" => (0, rest),
            "self" => (from, rest),
            "super" => (parent, rest),
            _ => {
                let found = self.descend(from, path, seen);
                if !found.is_empty() {
                    return found;
                }
                let mut found = self.through_foreign_globs(from, path);
                found.push(Target::External(path.to_vec()));
                return found;
            }
        };
        let found = self.descend(module, rest, seen);
        if found.is_empty() {
            // Items that a macro defines are unknown; the module is known.
            return vec![Target::Module(module)];
        }
        found
    }

    fn descend(&self, module: ModuleId, path: &[String], seen: &mut Seen) -> Vec<Target> {
        let Some((name, rest)) = path.split_first() else {
            return vec![Target::Module(module)];
        };
        let here = &self.modules[module];
        match name.as_str() {
            "self" => return self.descend(module, rest, seen),
            "super" => return self.descend(here.parent.unwrap_or(0), rest, seen),
            _ => {}
        }
        let mut found = Vec::new();
        if let Some(child) = here.children.get(name) {
            let below = self.descend(*child, rest, seen);
            let is_unknown = below.is_empty();
            found.extend(below);
            found.extend(is_unknown.then_some(Target::Module(*child)));
        }
        if here.items.contains(name) {
            found.push(Target::Item(module));
        }
        for alias in here.aliases.get(name).into_iter().flatten() {
            if seen.insert((module, alias.clone())) {
                found.extend(self.follow(module, &[alias, rest].concat(), seen));
            }
        }
        if !found.is_empty() {
            return found;
        }
        for glob in &here.globs {
            if !seen.insert((module, glob.clone())) {
                continue;
            }
            for target in self.follow(module, glob, seen) {
                if let Target::Module(of) = target {
                    found.extend(self.descend(of, path, seen));
                }
            }
        }
        found
    }

    /// Resolves a name that may come from a glob import of another crate.
    fn through_foreign_globs(&self, from: ModuleId, path: &[String]) -> Vec<Target> {
        let globs = &self.modules[from].globs;
        // A glob is never found through another glob.
        let all: Seen = globs.iter().map(|glob| (from, glob.clone())).collect();
        let mut found = Vec::new();
        for glob in globs {
            let is_own = matches!(
                glob.first().map(String::as_str),
                Some("crate" | "self" | "super")
            );
            if is_own {
                continue;
            }
            let mut targets = match glob.split_first() {
                Some((first, rest)) if first == EXTERN => vec![Target::External(rest.to_vec())],
                _ => self.descend(from, glob, &mut all.clone()),
            };
            if targets.is_empty() {
                targets.push(Target::External(glob.clone()));
            }
            for target in targets {
                if let Target::External(of) = target {
                    found.push(Target::External([of.as_slice(), path].concat()));
                }
            }
        }
        found
    }
}

/// The aliases and globs already followed, so that circular re-exports terminate.
type Seen = BTreeSet<(ModuleId, Vec<String>)>;

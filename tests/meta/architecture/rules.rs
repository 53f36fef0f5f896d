//! The rules, each a function from a crate to its violations.

use std::collections::{BTreeMap, BTreeSet};

use super::circles;
use super::directions::PackageRules;
use super::tree::Tree;

/// Uses of a module that the row of the user does not allow, and modules without a row.
pub fn wrong_directions(tree: &Tree, rows: &[(&str, &[&str])]) -> Vec<String> {
    let rows: BTreeMap<&str, &[&str]> = rows.iter().copied().collect();
    let mut found = BTreeSet::new();
    let modules = &tree.modules[0].children;
    for name in rows.keys().filter(|name| !modules.contains_key(**name)) {
        found.insert(format!("the row of `{name}` matches no module"));
    }
    for name in modules.keys() {
        if !rows.contains_key(name.as_str()) {
            found.insert(format!("`{name}` has no row in directions.rs"));
        }
    }
    for edge in tree.edges() {
        let (from, to) = (&tree.modules[edge.from], &tree.modules[edge.to]);
        let (Some(user), Some(used)) = (from.top(), to.top()) else {
            continue;
        };
        let is_allowed = rows.get(user).is_none_or(|allowed| allowed.contains(&used));
        if user != used && !is_allowed {
            found.insert(format!("{} uses {used}: `{}`", from.file, edge.written));
        }
    }
    found.into_iter().collect()
}

/// Circles that are in no group of the table, each with the uses that form it.
pub fn circles_not_allowed(tree: &Tree, allowed: &[&[&str]]) -> Vec<String> {
    let between = circles::between_modules(tree);
    let within = circles::between_files(tree);
    let is_allowed = |circle: &Vec<String>| {
        let has_all = |group: &&[&str]| circle.iter().all(|it| group.contains(&it.as_str()));
        allowed.iter().any(has_all)
    };
    let circles = between.into_iter().chain(within);
    let wrong = circles.filter(|circle| !is_allowed(circle));
    let describe = |circle: Vec<String>| {
        let uses = circles::uses_within(tree, &circle);
        format!("{circle:?}\n    {}", uses.join("\n    "))
    };
    wrong.map(describe).collect()
}

/// Mentions of items of other crates outside of the files that `allowed` accepts.
///
/// Each of `words` is a run of path segments, such as `Utc::now` or `rusqlite`.
pub fn strays(tree: &Tree, words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let externals = tree.externals();
    let is_meant = |path: &str| words.iter().any(|word| names(path, word));
    externals
        .into_iter()
        .filter(|(file, path)| is_meant(path) && !allowed(file))
        .map(|(file, path)| format!("{file}: {path}"))
        .collect()
}

/// Whether a path contains these segments in sequence.
fn names(path: &str, word: &str) -> bool {
    format!("::{path}::").contains(&format!("::{word}::"))
}

/// Calls of methods with these names outside of the files that `allowed` accepts.
pub fn stray_calls(tree: &Tree, methods: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for module in &tree.modules {
        for method in methods {
            if module.methods.contains(*method) && !allowed(&module.file) {
                found.push(format!("{}: .{method}(..)", module.file));
            }
        }
    }
    found
}

/// Siblings that the manifest or the code of a package names without permission.
pub fn wrong_siblings(
    rules: &PackageRules,
    manifest: &str,
    tree: &Tree,
    siblings: &[String],
) -> Vec<String> {
    let is_wrong = |name: &str| name != rules.name && !rules.siblings.contains(&name);
    let mut found: Vec<String> = dependencies(manifest)
        .into_iter()
        .filter(|name| siblings.contains(name) && is_wrong(name))
        .map(|name| format!("the manifest of {} names {name}", rules.name))
        .collect();
    for sibling in siblings.iter().filter(|name| is_wrong(name)) {
        let strays = strays(tree, &[&sibling.replace('-', "_")], |_| false);
        found.extend(strays.into_iter().map(|it| format!("{}: {it}", rules.name)));
    }
    found
}

/// The real names of the packages that a manifest depends on, except development dependencies.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut section = String::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            if let Some((_, name)) = section.rsplit_once("dependencies.")
                && !section.contains("dev-dependencies")
            {
                found.insert(name.to_owned());
            }
            continue;
        }
        let is_of_dependencies =
            section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let renamed = value.split_once("package = \"").map(|(_, rest)| rest);
        let renamed = renamed.and_then(|rest| rest.split('"').next());
        if is_of_dependencies {
            let key = key.trim().split('.').next().unwrap_or_default();
            found.insert(renamed.unwrap_or(key).to_owned());
        } else if section.contains("dependencies.")
            && !section.contains("dev-dependencies")
            && key.trim() == "package"
        {
            found.insert(value.trim().trim_matches('"').to_owned());
        }
    }
    found
}

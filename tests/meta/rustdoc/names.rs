//! The names of the packages: the one that a manifest gives, the one that code uses, and those that
//! documents tell readers to write.

use std::collections::BTreeSet;

use super::links::{documents, read};
use super::{folders, root};

/// The names of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// What a user writes in a manifest.
    pub package: String,
    /// What a user writes in code.
    pub library: String,
}

impl Names {
    /// The names that a manifest gives.
    fn of(manifest: &str) -> Self {
        let package = value(manifest, "[package]", "name").expect("a package has a name");
        let library = value(manifest, "[lib]", "name");
        Self {
            library: library.unwrap_or_else(|| package.replace('-', "_")),
            package,
        }
    }

    /// The names that the manifest in this folder gives.
    pub fn of_folder(folder: &str) -> Self {
        Self::of(&read(&root().join(folder).join("Cargo.toml")))
    }
}

/// The text that a section of a manifest has for a key.
fn value(manifest: &str, section: &str, key: &str) -> Option<String> {
    let lines = manifest.lines().skip_while(|line| *line != section);
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let mut values = lines.filter_map(|line| line.split_once(" = "));
    let (_, value) = values.find(|(found, _)| *found == key)?;
    Some(value.trim_matches('"').to_owned())
}

/// The name of a package of ours that a text begins with.
fn name_at(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(text.len());
    text[..end].starts_with("outbox-").then_some(&text[..end])
}

/// The packages that a text tells readers to depend on or to install: `outbox-sqlx = ..` and
/// `cargo add outbox-sqlx`.
fn wanted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for command in ["cargo add ", "cargo install "] {
        let arguments = text.split(command).skip(1);
        found.extend(arguments.filter_map(|rest| name_at(rest.trim_start_matches("--locked "))));
    }
    for (at, _) in text.match_indices("outbox-") {
        let is_begin = !text[..at].ends_with(|c: char| c.is_alphanumeric() || "-/_.".contains(c));
        if let Some(name) = name_at(&text[at..]).filter(|_| is_begin)
            && text[at + name.len()..].starts_with(" = ")
        {
            found.push(name);
        }
    }
    found
}

/// The packages that commands in a text name: `cargo test -p outbox-tests`.
fn built(text: &str) -> Vec<&str> {
    let arguments = text.split(" -p ").skip(1);
    arguments.filter_map(name_at).collect()
}

/// With any other name, a reader depends on somebody else's package, or on none that exists.
#[test]
fn documents_name_packages_as_their_manifests_do() {
    let published: BTreeSet<String> = folders()
        .iter()
        .map(|folder| Names::of_folder(folder).package)
        .collect();
    assert!(published.len() >= 10, "found only {published:?}");
    let mut files = documents();
    files.extend(
        folders()
            .iter()
            .map(|it| root().join(it).join("src/lib.rs")),
    );
    files.retain(|file| file.exists());
    files.push(root().join("templates/app/Cargo.toml"));
    let (mut seen, mut unknown) = (BTreeSet::new(), Vec::new());
    for file in files {
        let text = read(&file);
        for name in wanted(&text) {
            seen.insert(name.to_owned());
            if !published.contains(name) {
                unknown.push(format!("{}: {name}", file.display()));
            }
        }
    }
    println!("{seen:?}");
    assert!(seen.len() >= 6, "found only {seen:?}");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn commands_name_packages_of_the_workspaces() {
    let locks = ["Cargo.lock", "integrations/Cargo.lock", "fuzz/Cargo.lock"];
    let locks: String = locks.iter().map(|lock| read(&root().join(lock))).collect();
    let mut files = documents();
    for entry in std::fs::read_dir(root().join(".ci")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let (mut seen, mut unknown) = (0, Vec::new());
    for file in files {
        for name in built(&read(&file)) {
            seen += 1;
            if !locks.contains(&format!("\nname = \"{name}\"\n")) {
                unknown.push(format!("{}: {name}", file.display()));
            }
        }
    }
    println!("{seen} commands");
    assert!(seen >= 20, "found only {seen} commands");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn names_are_found_in_manifests_and_documents() {
    let manifest = "[package]\nname = \"outbox-a\"\n\n[[bin]]\nname = \"b\"\n";
    let names = Names::of(manifest);
    assert_eq!((&*names.package, &*names.library), ("outbox-a", "outbox_a"));
    let names = Names::of(&format!("{manifest}\n[lib]\nname = \"outbox_c\"\n"));
    assert_eq!((&*names.package, &*names.library), ("outbox-a", "outbox_c"));
    assert_eq!(
        wanted(
            "cargo add outbox-a --features b\n`cargo install --locked outbox-b`\n\
             outbox-c = \"0.1\"\n`outbox-d = { version = \"0.1\" }`\n\
             the folder outbox-e, ../outbox-f = x, my-outbox-g = \"1\""
        ),
        ["outbox-a", "outbox-b", "outbox-c", "outbox-d"]
    );
    assert_eq!(
        built("cargo test -p outbox-a --test b, and `cargo run -p outbox-c`; -p tokio"),
        ["outbox-a", "outbox-c"]
    );
}

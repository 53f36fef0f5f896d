//! Links between the guide and the documentation of the API.
//!
//! Both link to `docs.rs`, where each package of a release has its pages. A page of the guide is a
//! module of the package `outbox-guide`, which is made of `docs`. A relative link would lead
//! nowhere: no other package contains the guide.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use outbox_tests::sources::rust_files;

use super::names::Names;
use super::surface::Package;
use super::{PACKAGES, folders, root, surface_of};

/// The address of the documentation of a package, before its name.
const ADDRESS: &str = "https://docs.rs/";

/// The links in a text to documentation of our packages.
fn links(text: &str) -> Vec<&str> {
    let links = text.split(ADDRESS).skip(1).filter_map(|rest| {
        let end = rest.find([')', '>', ' ', '\n', '"']).unwrap_or(rest.len());
        rest[..end].starts_with("outbox-").then_some(&rest[..end])
    });
    links.collect()
}

/// Whether a link, without the address, leads to a page: to the newest version of a package, and
/// there to an item of its surface.
fn leads(link: &str, pages: &BTreeMap<String, Pages>) -> bool {
    let (package, rest) = link.split_once('/').unwrap_or((link, ""));
    let Some(Pages { library, pages }) = pages.get(package) else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    let folder = format!("latest/{library}/");
    let Some(page) = rest.strip_prefix(&folder) else {
        return false;
    };
    let (file, anchor) = page.split_once('#').unwrap_or((page, ""));
    let file = match file.strip_suffix(".html") {
        Some(file) => file.to_owned(),
        None if file.ends_with('/') => format!("{file}index"),
        None => return false,
    };
    match anchor {
        "" => pages.contains(&file),
        _ => pages.contains(&format!("{file}#{anchor}")),
    }
}

/// The pages of a package, below a folder that is named like its library.
struct Pages {
    library: String,
    pages: BTreeSet<String>,
}

/// By the name of the package.
fn all_pages() -> BTreeMap<String, Pages> {
    let pages_of = |package: &Package<'_>| {
        let Names {
            package: name,
            library,
        } = Names::of_folder(package.folder);
        let pages = surface_of(package).pages();
        (name, Pages { library, pages })
    };
    let mut all: BTreeMap<String, Pages> = PACKAGES.iter().map(pages_of).collect();
    let Names { package, library } = Names::of_folder("docs");
    let pages = pages_of_guide();
    all.insert(package, Pages { library, pages });
    all
}

/// The pages of the guide, as `docs/src/build.rs` makes modules of them.
fn pages_of_guide() -> BTreeSet<String> {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let listed = summary.split("](").skip(1).filter_map(|rest| {
        let (page, _) = rest.split_once(".md)")?;
        let name = page.rsplit('/').next().unwrap_or(page);
        Some(format!("{}/index", name.replace('-', "_")))
    });
    listed.chain(["index".to_owned()]).collect()
}

/// The documents: those of the root, of `docs`, and the README of each package.
pub fn documents() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = vec![root(), root().join("docs")];
    folders.extend(["guide", "operations"].map(|name| root().join("docs").join(name)));
    folders.extend(super::folders().into_iter().map(|it| root().join(it)));
    let mut documents = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort_unstable();
    documents
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_link_of_the_guide_to_the_api_names_an_item() {
    let pages = all_pages();
    let (mut seen, mut broken) = (0, Vec::new());
    for document in documents() {
        let text = read(&document);
        for link in links(&text) {
            seen += 1;
            if !leads(link, &pages) {
                broken.push(format!("{}: {ADDRESS}{link}", document.display()));
            }
        }
    }
    println!("{seen} links");
    assert!(seen >= 30, "found only {seen} links");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_link_of_the_api_to_the_guide_names_a_page() {
    let pages = all_pages();
    let (mut seen, mut broken) = (0, Vec::new());
    for package in folders() {
        for file in rust_files(&root().join(&package).join("src")) {
            let text = read(&file);
            for link in links(&text) {
                seen += usize::from(link.starts_with("outbox-guide/"));
                if !leads(link, &pages) {
                    broken.push(format!("{}: {ADDRESS}{link}", file.display()));
                }
            }
        }
    }
    println!("{seen} links");
    assert!(seen >= 40, "found only {seen} links");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The paths of documents that a text names: `docs/guide/start.md`.
fn named(text: &str) -> Vec<&str> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let starts = text.match_indices("docs/").map(|(at, _)| at);
    let paths = starts.filter_map(|at| {
        let is_begin = !text[..at].ends_with(is_of_path);
        let rest = &text[at..];
        let end = rest.find(|c| !is_of_path(c)).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches('.');
        (is_begin && path.ends_with(".md")).then_some(path)
    });
    paths.collect()
}

#[test]
fn every_page_that_the_api_names_exists() {
    let mut missing = Vec::new();
    for package in folders() {
        let mut files = rust_files(&root().join(&package).join("src"));
        files.push(root().join(&package).join("Cargo.toml"));
        let readme = root().join(&package).join("README.md");
        files.extend(readme.exists().then_some(readme));
        for file in files {
            for page in named(&read(&file)) {
                if !root().join(page).exists() {
                    missing.push(format!("{}: {page}", file.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// A relative link works in the repository alone, and a package has no guide in it.
#[test]
fn no_documentation_of_the_api_links_into_the_repository() {
    let mut found = Vec::new();
    for package in folders() {
        for file in rust_files(&root().join(&package).join("src")) {
            let text = read(&file);
            for (number, line) in (1..).zip(text.lines()) {
                let is_docs = line.trim_start().starts_with("//");
                if is_docs && line.contains("](") && line.contains(".md)") {
                    found.push(format!("{}:{number}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let pages = all_pages();
    let good = "[a](https://docs.rs/outbox-runtime/latest/outbox_runtime/http/struct.Policy.html), \
                <https://docs.rs/outbox-runtime> \
                [b](https://docs.rs/outbox-runtime/latest/outbox_runtime/struct.Running.html#method.stop) \
                [c](https://docs.rs/outbox-testing/latest/outbox_testing/macro.assert_enqueued.html) \
                [d](https://docs.rs/outbox-runtime-postgres/latest/outbox_postgres/struct.Outbox.html) \
                [e](https://docs.rs/tokio/latest/none)";
    let found = links(good);
    assert_eq!(found.len(), 5);
    let of_guide = [
        "outbox-guide",
        "outbox-guide/latest/outbox_guide/dead_letters/",
        "outbox-guide/latest/outbox_guide/command/index.html",
    ];
    for link in found.into_iter().chain(of_guide) {
        assert!(leads(link, &pages), "{link}");
    }
    for link in [
        "outbox-nothing",
        "outbox-runtime/0.1.0/outbox_runtime/struct.Running.html",
        "outbox-runtime/latest/outbox_runtime/enum.Running.html",
        "outbox-runtime/latest/outbox_runtime/struct.Running.html#method.fly",
        "outbox-runtime/latest/outbox_runtime/struct.Policy.html",
        "outbox-runtime/latest/outbox_testing/index.html",
        "outbox-runtime-postgres/latest/outbox_runtime_postgres/struct.PostgresStore.html",
        "outbox-postgres/latest/outbox_postgres/struct.PostgresStore.html",
        "outbox-runtime/latest/outbox_runtime/struct.Running",
        "outbox-guide/latest/outbox_guide/dead-letters/",
        "outbox-guide/latest/outbox_guide/start",
        "outbox-guide/latest/outbox_guide/nowhere/",
    ] {
        assert!(!leads(link, &pages), "{link}");
    }
    assert_eq!(
        named("`docs/guide/a.md`. See docs/b.md. But mydocs/c.md, docs/d.rs"),
        ["docs/guide/a.md", "docs/b.md"]
    );
}

//! The guide is complete: each page is in the table of contents, short enough to be read, tested,
//! and all links of the documents lead somewhere, in the repository and in the book.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use outbox_guide_tests::{PAGES, PAGES_OF_INTEGRATIONS, REFERENCES};

/// The longest page, in lines.
const LONGEST: usize = 150;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The markdown files of a folder, without those below it.
fn markdown(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .collect();
    paths.sort();
    paths
}

/// The names of the pages that exist.
fn existing() -> BTreeSet<String> {
    let names = markdown("docs/guide").into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        name.to_owned()
    });
    names.collect()
}

/// The pages of the book, as paths below `docs`.
fn listed() -> BTreeSet<String> {
    links(&read(&root().join("docs/SUMMARY.md")))
        .into_iter()
        .collect()
}

/// A path without `..`; `None` if it leads out of its root.
fn normal(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The links of a page that lead nowhere in the book, which has the listed pages, and the other
/// files below `docs` as they are. `page` is a path below `docs`.
fn dead_in_book(page: &str, text: &str, listed: &BTreeSet<String>) -> Vec<String> {
    let folder = Path::new(page).parent().unwrap();
    let dead = links(text).into_iter().filter(|link| {
        if link.contains("://") || link.starts_with("mailto:") || link.starts_with('#') {
            return false;
        }
        let (file, _) = link.split_once('#').unwrap_or((link, ""));
        let Some(target) = normal(&folder.join(file)) else {
            return true;
        };
        match target.ends_with(".md") {
            true => !listed.contains(&target),
            false => !root().join("docs").join(target).is_file(),
        }
    });
    dead.map(|link| format!("docs/{page}: {link}")).collect()
}

/// The targets of the links in a text, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second part is between backquotes.
        let prose: String = line.split('`').step_by(2).collect();
        links.extend(prose.split("](").skip(1).filter_map(|rest| {
            let (target, _) = rest.split_once(')')?;
            Some(target.to_owned())
        }));
    }
    links
}

/// The anchors of a page, as renderers make them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors = headings.map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    });
    anchors.collect()
}

/// The links of a document that lead nowhere within the repository.
fn broken(path: &Path, text: &str) -> Vec<String> {
    let folder = path.parent().unwrap();
    let broken = links(text).into_iter().filter(|link| {
        if link.contains("://") || link.starts_with("mailto:") {
            return false;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => path.to_owned(),
            _ => folder.join(file),
        };
        let leads = match anchor {
            "" => target.exists(),
            _ => std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)),
        };
        !leads
    });
    broken
        .map(|link| format!("{}: {link}", path.display()))
        .collect()
}

#[test]
fn every_page_is_in_the_table_of_contents_and_its_code_is_tested() {
    let existing = existing();
    let tested: BTreeSet<String> = PAGES.iter().map(|&page| page.to_owned()).collect();
    assert_eq!(existing, tested, "list the pages in tests/guide/src/lib.rs");
    let listed: BTreeSet<String> = listed()
        .iter()
        .filter_map(|link| link.strip_prefix("guide/")?.strip_suffix(".md"))
        .map(str::to_owned)
        .collect();
    assert_eq!(existing, listed, "list the pages in docs/SUMMARY.md");
}

#[test]
fn every_reference_of_operations_is_in_the_book_and_its_code_is_tested() {
    let listed = listed();
    for path in markdown("docs/operations") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let page = format!("operations/{name}.md");
        assert!(listed.contains(&page), "list {page} in docs/SUMMARY.md");
        assert!(
            REFERENCES.contains(&name),
            "list {name} in tests/guide/src/lib.rs"
        );
    }
}

/// The book is made of `docs`, so its first page is `docs/README.md`, and links out of `docs` are
/// dead there: name such a file in code.
#[test]
fn every_link_of_the_book_leads_to_one_of_its_pages() {
    let config = read(&root().join("docs/book.toml"));
    assert!(
        config.lines().any(|line| line == r#"src = ".""#),
        "the paths of this test are those of a book whose source is docs"
    );
    let listed = listed();
    assert!(listed.contains("README.md") && listed.len() > 50);
    let dead: Vec<String> = listed
        .iter()
        .flat_map(|page| {
            let text = read(&root().join("docs").join(page));
            dead_in_book(page, &text, &listed)
        })
        .collect();
    assert_eq!(dead, [""; 0]);
}

#[test]
fn a_link_that_is_dead_in_the_book_is_found() {
    let listed = BTreeSet::from(["guide/start.md", "operations/console.md"].map(str::to_owned));
    let text = "[a](start.md#next) [b](../operations/console.md) [c](lanes.md) [d](../../README.md)\n\
        [e](../operations/console/overview.png) [f](../operations/console/none.png)\n\
        [g](#here) [h](https://example.org/) `[i](code.md)` [j](../operations)";
    let dead = dead_in_book("guide/start.md", text, &listed);
    let expected = [
        "lanes.md",
        "../../README.md",
        "../operations/console/none.png",
        "../operations",
    ];
    assert_eq!(
        dead,
        expected.map(|link| format!("docs/guide/start.md: {link}"))
    );
}

/// Pages name files outside of the book in code, where no link is followed.
#[test]
fn every_file_that_a_page_names_exists() {
    let folders = [
        ".ci/",
        ".github/",
        "benches/",
        "docs/",
        "examples/",
        "findings/",
        "integrations/",
        "templates/",
        "tests/",
    ];
    let mut named = 0;
    let mut missing = Vec::new();
    for page in listed() {
        let text = read(&root().join("docs").join(&page));
        // Every second part is between backquotes.
        for code in text.split('`').skip(1).step_by(2) {
            let is_path = folders.iter().any(|folder| code.starts_with(folder));
            let is_pattern = code.contains(|c: char| "*{<| \n".contains(c));
            if is_path && !is_pattern {
                named += 1;
                if !root().join(code).exists() {
                    missing.push(format!("docs/{page}: {code}"));
                }
            }
        }
    }
    assert!(named > 20, "found only {named} names of files");
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_code_of_every_page_that_needs_another_database_library_is_tested_in_integrations() {
    let tests = read(&root().join("integrations/guide/src/lib.rs"));
    let tested = tests.lines().filter_map(|line| {
        let path = line.strip_prefix("#[doc = include_str!(\"../../../docs/guide/")?;
        path.strip_suffix(".md\")]")
    });
    assert_eq!(tested.collect::<Vec<_>>(), PAGES_OF_INTEGRATIONS);
}

#[test]
fn every_page_is_short_enough_to_be_read() {
    for page in listed() {
        let lines = read(&root().join("docs").join(&page)).lines().count();
        assert!(lines <= LONGEST, "{page} has {lines} lines");
    }
}

#[test]
fn no_block_of_rust_is_left_out_of_the_tests() {
    for page in listed() {
        let text = read(&root().join("docs").join(&page));
        let ignored = text
            .lines()
            .find(|line| line.starts_with("```rust") && line.contains("ignore"));
        assert_eq!(ignored, None, "{page}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut folders: Vec<String> = ["", ".github", "docs", "docs/guide", "docs/operations"]
        .map(str::to_owned)
        .into_iter()
        .filter(|folder| root().join(folder).exists())
        .collect();
    // The README of each package, example and template.
    for parent in ["", "benches", "examples", "integrations", "templates"] {
        let entries = std::fs::read_dir(root().join(parent)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let below = names.map(|name| Path::new(parent).join(name).display().to_string());
        folders.extend(below.filter(|folder| root().join(folder).join("README.md").exists()));
    }
    folders.sort_unstable();
    folders.dedup();
    assert!(folders.len() > 15, "{folders:?}");
    let broken: Vec<_> = folders
        .iter()
        .flat_map(|folder| markdown(folder))
        .flat_map(|path| broken(&path, &read(&path)))
        .collect();
    assert_eq!(broken, [""; 0]);
}

#[test]
fn a_broken_link_is_found() {
    let path = root().join("docs/guide/start.md");
    let text = "[one](network.md) [two](nowhere.md) [three](network.md#2-the-outage)\n\
        [four](network.md#nowhere) `[five](code.md)` [six](https://example.org/)";
    let found = broken(&path, text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("nowhere.md") && found[1].ends_with("#nowhere"));
}

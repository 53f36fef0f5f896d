//! The guide is complete: each page is in the table of contents, short enough to be read, tested,
//! and all links of the documents lead somewhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use outbox_guide::{PAGES, PAGES_OF_INTEGRATIONS};

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
    names.filter(|name| name != "SUMMARY").collect()
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
    let listed = links(&read(&root().join("docs/guide/SUMMARY.md")));
    let listed: BTreeSet<String> = listed
        .iter()
        .map(|link| link.trim_end_matches(".md").to_owned())
        .collect();
    assert_eq!(existing, listed, "list the pages in docs/guide/SUMMARY.md");
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
    for page in existing() {
        let lines = read(&root().join(format!("docs/guide/{page}.md")))
            .lines()
            .count();
        assert!(lines <= LONGEST, "{page}.md has {lines} lines");
    }
}

#[test]
fn no_block_of_rust_is_left_out_of_the_tests() {
    for page in existing() {
        let text = read(&root().join(format!("docs/guide/{page}.md")));
        let ignored = text
            .lines()
            .find(|line| line.starts_with("```rust") && line.contains("ignore"));
        assert_eq!(ignored, None, "{page}.md");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let folders = ["", ".github", "docs", "docs/guide", "docs/operations"];
    let documents = folders
        .into_iter()
        .filter(|folder| root().join(folder).exists());
    let broken: Vec<_> = documents
        .flat_map(markdown)
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

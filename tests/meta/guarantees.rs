//! `docs/GUARANTEES.md` names only tests that exist, and has a row for every fault and failure.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn guarantees() -> String {
    std::fs::read_to_string(root().join("docs/GUARANTEES.md")).unwrap()
}

/// The texts between backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The folders that may hold a test with this prefix, and the rest of its name. `None`: not the
/// name of a test.
fn folders(name: &str) -> Option<(Vec<&'static str>, &str)> {
    let (first, rest) = name.split_once("::")?;
    let is_code = name.contains(|c: char| c.is_uppercase() || "()[]{} ".contains(c));
    match first {
        _ if is_code => None,
        "outbox" | "outbox_runtime" | "tokio" => None,
        "crash" => Some((vec!["tests/crash/tests"], rest)),
        "foreign_sink" => Some((vec!["tests/foreign-sink/tests"], rest)),
        "postgres" => Some((vec!["tests/postgres/tests"], rest)),
        "browser" => Some((vec!["tests/console/tests"], rest)),
        "cli" => Some((vec!["outbox-cli/tests/command", "outbox-cli/src"], rest)),
        "console" => Some((vec!["outbox-console/tests", "outbox-console/src"], rest)),
        "models" => Some((vec!["tests/models/tests"], rest)),
        "outages" => Some((vec!["tests/outages/tests"], rest)),
        "fitiq" => Some((vec!["examples/fitiq/tests", "examples/fitiq/src"], rest)),
        "fitiq_core" => Some((
            vec!["examples/fitiq-core/tests", "examples/fitiq-core/src"],
            rest,
        )),
        "lume" => Some((vec!["examples/lume/tests", "examples/lume/src"], rest)),
        _ => Some((
            vec![
                "tests/promises",
                "tests/stores",
                "tests/macros",
                "tests/import",
                "tests/meta",
                "outbox-testing/src",
            ],
            name,
        )),
    }
}

/// The Rust files under this folder whose name, or whose folder's name, matches.
fn files(folder: &Path, stem: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, stem));
        }
        let names = [path.file_stem(), path.parent().and_then(Path::file_name)];
        let is_it = names.contains(&Some(OsStr::new(stem)));
        if is_it && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn exists(folders: &[&str], file: &str, test: &str) -> bool {
    let is_in = |path: PathBuf| {
        let code = std::fs::read_to_string(path).unwrap();
        // Cases of `conformance!` are names in a list.
        code.contains(&format!("fn {test}(")) || code.contains(&format!("{test},"))
    };
    let all = folders.iter().map(|folder| root().join(folder));
    all.flat_map(|folder| files(&folder, file)).any(is_in)
}

#[test]
fn every_test_named_in_the_guarantees_exists() {
    let text = guarantees();
    let mut count = 0;
    for name in names(&text) {
        if name.starts_with("ui/") {
            assert!(
                root().join("tests").join(name).exists(),
                "{name}: no such file"
            );
            count += 1;
        }
        let Some((folders, rest)) = folders(name) else {
            continue;
        };
        let (file, test) = rest.split_once("::").unwrap_or(("", rest));
        let test = test.rsplit("::").next().unwrap();
        assert!(
            exists(&folders, file, test),
            "docs/GUARANTEES.md names {name}, which does not exist"
        );
        count += 1;
    }
    assert!(count > 300, "only {count} tests are named");
    assert!(!exists(
        &["tests/meta"],
        "guarantees",
        "which_is_nowhere_but_here_and_no_function"
    ));
}

/// The numbered promises, each from its heading on.
fn promises(text: &str) -> Vec<&str> {
    let text = text.split("\n## What is not promised").next().unwrap();
    let parts = text.split("\n## ").skip(1);
    parts
        .filter(|part| part.starts_with(|first: char| first.is_ascii_digit()))
        .collect()
}

/// Whether the tests that a promise names ran on this store: the conformance suite runs on every
/// store, and the tests of PostgreSQL have a prefix of their own.
fn is_shown_on(promise: &str, store: &str) -> bool {
    let is_of_postgres = |name: &str| name.starts_with("postgres::");
    let mut tests = names(promise).filter(|name| name.contains("::"));
    tests.any(|test| {
        test.starts_with("conformance::*::") || is_of_postgres(test) == (store == "PostgreSQL")
    })
}

#[test]
fn every_promise_names_the_stores_that_its_tests_run_on() {
    let text = guarantees();
    let promises = promises(&text);
    assert_eq!(promises.len(), 18);
    for promise in promises {
        let title = promise.lines().next().unwrap();
        let shown = promise.split("\nShown on ").nth(1);
        let shown = shown.unwrap_or_else(|| panic!("{title}: no stores are named"));
        let shown = shown.split(['.', ';']).next().unwrap();
        let is_named = |store: &&str| shown.contains(store);
        let named: Vec<_> = ["memory", "SQLite", "PostgreSQL"]
            .into_iter()
            .filter(is_named)
            .collect();
        assert!(!named.is_empty(), "{title}: no stores are named");
        for store in named {
            assert!(is_shown_on(promise, store), "{title}: no test on {store}");
        }
    }
    assert!(!is_shown_on("Shown by `leases::a`", "PostgreSQL"));
    assert!(is_shown_on("Shown by `conformance::*::a`", "PostgreSQL"));
}

/// The rows of a table whose first cell matches, without that cell.
fn rows<'t>(text: &'t str, cell: &str) -> Vec<&'t str> {
    let start = format!("| {cell} | ");
    let rows = text.lines().filter_map(|line| line.strip_prefix(&start));
    rows.collect()
}

#[test]
fn every_fault_and_failure_has_a_test_or_a_reason_for_none() {
    let text = guarantees();
    let faults = (1..=76).map(|number| format!("F{number:02}"));
    let failures = (1..=55).map(|number| number.to_string());
    for cell in faults.chain(failures) {
        let rows = rows(&text, &cell);
        assert_eq!(rows.len(), 1, "{cell} has {} rows", rows.len());
        let (what, test) = rows[0].split_once(" | ").unwrap();
        let test = test.trim_end_matches('|').trim();
        assert!(
            !what.is_empty() && !test.is_empty(),
            "{cell} has an empty cell"
        );
    }
    assert!(rows(&text, "F99").is_empty());
}

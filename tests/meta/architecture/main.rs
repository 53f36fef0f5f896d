//! Architecture rules: the directions of use between modules and packages, and the files that alone
//! may name a crate or function.
//!
//! `directions.rs` has the tables; `evasions.rs` has a control for each rule.

mod circles;
mod contract;
mod directions;
mod evasions;
mod mentions;
mod resolve;
mod rules;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use outbox_testing::StoreCall;
use outbox_tests::sources::rust_files;

use self::directions::PACKAGES;
use self::rules::{circles_not_allowed, stray_calls, strays, wrong_directions, wrong_siblings};
use self::tree::Tree;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn tree_of(package: &str) -> Tree {
    Tree::read(&root().join(package).join("src"))
}

fn manifest_of(package: &str) -> String {
    std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap()
}

/// The packages beside the tests whose names begin with `outbox-`.
fn siblings() -> Vec<String> {
    let entries = std::fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("outbox-") && root().join(name).join("Cargo.toml").exists())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn every_package_has_rules_and_every_file_a_module() {
    let named: BTreeSet<&str> = PACKAGES.iter().map(|rules| rules.name).collect();
    let siblings = siblings();
    assert_eq!(named, siblings.iter().map(String::as_str).collect());
    for package in siblings {
        assert_eq!(tree_of(&package).undeclared, [""; 0], "{package}");
    }
}

#[test]
fn modules_use_only_what_their_row_allows() {
    for rules in PACKAGES.iter().filter(|rules| !rules.modules.is_empty()) {
        let found = wrong_directions(&tree_of(rules.name), rules.modules);
        assert!(found.is_empty(), "{}: {found:#?}", rules.name);
    }
}

#[test]
fn no_module_uses_the_processor_and_stores_use_no_handler() {
    let (_, rows) = (
        "the runtime",
        PACKAGES.iter().find(|it| it.name == "outbox-runtime"),
    );
    for (module, allowed) in rows.unwrap().modules {
        let may_use_processor = *module == "prelude";
        assert!(
            may_use_processor || !allowed.contains(&"processor"),
            "{module}"
        );
        assert!(*module != "store" || !allowed.contains(&"handler"));
    }
}

#[test]
fn only_known_circles_of_imports_exist() {
    let mut found = Vec::new();
    for rules in PACKAGES {
        if let Some(circles) = rules.circles {
            let of_package = circles_not_allowed(&tree_of(rules.name), circles);
            found.extend(of_package.iter().map(|it| format!("{}: {it}", rules.name)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The name in the manifest, which may be another than that of the folder.
fn published_name(folder: &str) -> String {
    let manifest = manifest_of(folder);
    let mut names = manifest
        .lines()
        .filter_map(|it| it.strip_prefix("name = \""));
    names.next().unwrap().trim_end_matches('"').to_owned()
}

#[test]
fn packages_depend_only_on_siblings_in_their_row() {
    let folders = siblings();
    let published = folders.iter().map(|folder| published_name(folder));
    let siblings: Vec<String> = published.chain(folders.clone()).collect();
    for rules in PACKAGES {
        let manifest = manifest_of(rules.name);
        let found = wrong_siblings(rules, &manifest, &tree_of(rules.name), &siblings);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn only_stores_name_a_database_crate() {
    let crates = [
        "rusqlite",
        "libsqlite3_sys",
        "tokio_postgres",
        "postgres",
        "sqlx",
        "diesel",
    ];
    let strays = strays(&tree_of("outbox-runtime"), &crates, |file| {
        // `lib.rs` re-exports it, so that applications use the same version.
        file.starts_with("store/") || file == "lib.rs"
    });
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_the_clock_reads_the_time_and_sleeps() {
    let words = [
        "SystemTime::now",
        "Instant::now",
        "Utc::now",
        "Local::now",
        "time::sleep",
        "time::sleep_until",
        "time::interval",
        "time::timeout",
        "thread::sleep",
    ];
    let tree = tree_of("outbox-runtime");
    let found = strays(&tree, &words, |file| file == "clock.rs");
    assert!(found.is_empty(), "{found:#?}");
    let of_clock = strays(&tree, &words, |_| false);
    assert!(
        of_clock.len() >= 3,
        "the control must find the clock itself: {of_clock:?}"
    );
}

#[test]
fn only_the_processor_spawns_tasks() {
    let words = [
        "tokio::spawn",
        "task::spawn",
        "spawn_blocking",
        "spawn_local",
        "JoinSet",
        "LocalSet",
    ];
    // The clock keeps paused time from advancing while a thread works; tokio does that only for
    // blocking tasks.
    let allowed = |file: &str| file.starts_with("processor/") || file == "clock.rs";
    let tree = tree_of("outbox-runtime");
    let found = strays(&tree, &words, allowed);
    assert!(found.is_empty(), "{found:#?}");
    let calls = stray_calls(&tree, &["spawn_blocking", "spawn_local"], allowed);
    assert!(calls.is_empty(), "{calls:#?}");
    assert!(
        !strays(&tree, &words, |_| false).is_empty(),
        "the control must find the processor"
    );
}

#[test]
fn only_attr_parses_and_only_expand_quotes() {
    let tree = tree_of("outbox-macros");
    let is_attr = |file: &str| file.starts_with("attr");
    let methods = [
        "parse_args",
        "parse_args_with",
        "parse_nested_meta",
        "parse2",
    ];
    assert_eq!(stray_calls(&tree, &methods, is_attr), [""; 0]);
    assert!(!stray_calls(&tree, &methods, |_| false).is_empty());
    let macros = ["quote::quote", "quote::quote_spanned"];
    let is_expand = |file: &str| file.starts_with("expand/");
    assert_eq!(strays(&tree, &macros, is_expand), [""; 0]);
    assert!(!strays(&tree, &macros, |_| false).is_empty());
}

/// The implementations of the storage contract below a folder: their number, and the methods that
/// they leave to their defaults.
fn left_to_defaults(folder: &str) -> (usize, Vec<String>) {
    let repository = root().join("outbox-runtime/src");
    let contract_code: Vec<String> = rust_files(&repository)
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let declared = |name: &str| -> BTreeSet<String> {
        let code = contract_code.iter();
        code.flat_map(|code| contract::declared(code, name))
            .collect()
    };
    let mut seen = 0;
    let mut left = Vec::new();
    let folder = root().join(folder);
    for file in rust_files(&folder) {
        let code = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
        for implementation in contract::implementations(&code) {
            seen += 1;
            let mut methods = implementation.methods;
            if methods.contains("$method") {
                methods.extend(StoreCall::ALL.iter().map(|call| call.as_str().to_owned()));
            }
            let declared = declared(&implementation.of);
            assert!(
                !declared.is_empty(),
                "{} has no declaration",
                implementation.of
            );
            let missing = declared.difference(&methods);
            let describe = |method| format!("{name}: {} {method}", implementation.implementor);
            left.extend(missing.map(describe));
        }
    }
    (seen, left)
}

#[test]
fn no_wrapper_of_a_store_leaves_a_method_to_its_default() {
    let folders = [
        "outbox-runtime/src",
        "outbox-testing/src",
        "tests/src",
        "tests/outages/src",
        "tests/promises",
        "tests/stores",
    ];
    let found: Vec<(usize, Vec<String>)> = folders.into_iter().map(left_to_defaults).collect();
    let seen: usize = found.iter().map(|(seen, _)| seen).sum();
    let mut left: Vec<String> = found.into_iter().flat_map(|(_, left)| left).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            // It counts what an exchange consists of.
            "counting.rs: Counting settle_and_claim",
            // It alters claims, so an exchange must consist of an outcome and a claim.
            "resting.rs: Insistent settle_and_claim",
            // The in-memory store gains nothing here: the defaults call its own methods.
            "store/memory/queue.rs: MemoryStore settle_and_claim",
            "store/memory/repository.rs: MemoryStore oldest_completed",
        ]
    );
    assert!(seen >= 9, "found only {seen} implementations");
}

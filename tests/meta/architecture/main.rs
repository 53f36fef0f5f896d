//! The tree keeps its shape: who uses whom, and what is said in one place only.
//!
//! `directions.rs` has the tables; `evasions.rs` the controls of every rule.

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

use self::directions::PACKAGES;
use self::rules::{circles_not_allowed, stray_calls, strays, wrong_directions, wrong_siblings};
use self::tree::{Tree, rust_files};

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
fn nobody_uses_the_processor_and_stores_know_no_handler() {
    let (_, rows) = (
        "the runtime",
        PACKAGES.iter().find(|it| it.name == "outbox-runtime"),
    );
    for (module, allowed) in rows.unwrap().modules {
        let is_beside = *module == "prelude";
        assert!(is_beside || !allowed.contains(&"processor"), "{module}");
        assert!(*module != "store" || !allowed.contains(&"handler"));
    }
}

#[test]
fn circles_of_imports_are_only_those_that_are_known() {
    let mut found = Vec::new();
    for rules in PACKAGES {
        if let Some(circles) = rules.circles {
            let of_package = circles_not_allowed(&tree_of(rules.name), circles);
            found.extend(of_package.iter().map(|it| format!("{}: {it}", rules.name)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn packages_depend_on_the_siblings_that_their_row_allows() {
    let siblings = siblings();
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
        // The re-export, so that applications use the same version.
        file.starts_with("store/") || file == "lib.rs"
    });
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_the_clock_asks_for_the_time_and_sleeps() {
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
    assert!(of_clock.len() >= 3, "the clock itself does: {of_clock:?}");
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
    // The clock keeps paused time from passing while a thread works, which tokio does for blocking
    // tasks alone.
    let allowed = |file: &str| file.starts_with("processor/") || file == "clock.rs";
    let tree = tree_of("outbox-runtime");
    let found = strays(&tree, &words, allowed);
    assert!(found.is_empty(), "{found:#?}");
    let calls = stray_calls(&tree, &["spawn_blocking", "spawn_local"], allowed);
    assert!(calls.is_empty(), "{calls:#?}");
    assert!(
        !strays(&tree, &words, |_| false).is_empty(),
        "the processor does"
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

/// The implementations of the storage contract below a folder: how many there are, and the methods
/// that they leave to their defaults.
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
                "{} is declared nowhere",
                implementation.of
            );
            let missing = declared.difference(&methods);
            let told = |method| format!("{name}: {} {method}", implementation.implementor);
            left.extend(missing.map(told));
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
            // They count or bend claims, so that an exchange is to be an outcome and a claim.
            "resting.rs: Insistent settle_and_claim",
            // A store in memory has nothing to gain: what the default asks for are its own methods.
            "store/memory/queue.rs: MemoryStore settle_and_claim",
            "store/memory/repository.rs: MemoryStore oldest_completed",
            "unhandled.rs: Counting settle_and_claim",
        ]
    );
    assert!(seen >= 9, "{seen} implementations were seen");
}

//! The tree keeps its shape: who imports whom, and what is said in one place only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use outbox_runtime::testing::StoreCall;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The Rust files below a folder, each with its path from there and its code: comments and unit tests are left out.
fn code(folder: &str) -> Vec<(String, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let folder = root().join(folder);
    let mut files = Vec::new();
    collect(&folder, &mut files);
    assert!(!files.is_empty(), "{} has no code", folder.display());
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text
                .split("#[cfg(test)]")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
            (name.to_owned(), code)
        })
        .collect()
}

/// Where any of `words` stands although `allowed` does not say so.
fn strays(folder: &str, words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (file, code) in code(folder) {
        for word in words {
            if code.contains(word) && !allowed(&file) {
                found.push(format!("{file}: {word}"));
            }
        }
    }
    found
}

/// The modules of the runtime that a file imports, as `crate::<module>`.
fn imports(code: &str) -> Vec<String> {
    code.split("crate::")
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .filter(|module| !module.is_empty())
        .collect()
}

#[test]
fn nouns_import_only_what_comes_before_them() {
    const TOOLS: [&str; 6] = ["clock", "error", "fnv", "redaction", "retry", "wire"];
    const FLOW: [&str; 5] = ["entity", "metadata", "enqueue", "event", "__private"];
    let allowed = |noun: &str| -> Vec<&str> {
        let first = FLOW.to_vec();
        match noun {
            "entity" | "metadata" | "enqueue" | "event" => first,
            "claim" => first,
            "outage" => first,
            "outcome" => [first, vec!["claim"]].concat(),
            "statistics" => [first, vec!["claim", "outage"]].concat(),
            "handler" => [first, vec!["outcome"]].concat(),
            "repository" => [first, vec!["claim", "outcome", "statistics"]].concat(),
            _ => unreachable!(),
        }
    };
    for (file, code) in code("outbox-runtime/src") {
        let noun = file.split(['/', '.']).next().unwrap();
        let is_noun = matches!(
            noun,
            "entity"
                | "metadata"
                | "enqueue"
                | "event"
                | "claim"
                | "outage"
                | "statistics"
                | "outcome"
                | "handler"
                | "repository"
        );
        if !is_noun {
            continue;
        }
        for module in imports(&code) {
            let fine = module == noun
                || TOOLS.contains(&module.as_str())
                || allowed(noun).contains(&module.as_str())
                || module.starts_with(char::is_uppercase);
            assert!(fine, "{file} imports {module}");
        }
    }
}

#[test]
fn nobody_imports_the_processor_and_stores_import_nouns_only() {
    for (file, code) in code("outbox-runtime/src") {
        let imports = imports(&code);
        let imports_processor = imports.iter().any(|module| module == "processor");
        assert!(
            !imports_processor || file == "lib.rs" || file.starts_with("processor/"),
            "{file}"
        );
        if file.starts_with("store/") {
            assert!(
                !imports.iter().any(|module| module == "handler"),
                "{file} imports handler"
            );
        }
        let imports_store = imports.iter().any(|module| module == "store");
        assert!(
            !imports_store || file == "lib.rs" || file.starts_with("store/"),
            "{file}"
        );
    }
}

#[test]
fn only_stores_and_imports_name_a_database_crate() {
    let strays = strays(
        "outbox-runtime/src",
        &["rusqlite::", "tokio_postgres::"],
        |file| {
            // The re-export, so that applications use the same version.
            // Imports read SQLite files of other programs.
            file.starts_with("store/") || file.starts_with("import/") || file == "lib.rs"
        },
    );
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_the_clock_asks_for_the_time_and_sleeps() {
    let words = [
        "SystemTime::now",
        "Instant::now",
        "Utc::now",
        "time::sleep",
        "thread::sleep",
    ];
    let strays = strays("outbox-runtime/src", &words, |file| file == "clock.rs");
    assert!(strays.is_empty(), "{strays:#?}");
    let counted: usize = code("outbox-runtime/src")
        .iter()
        .filter(|(file, _)| file == "clock.rs")
        .map(|(_, code)| words.iter().filter(|word| code.contains(*word)).count())
        .sum();
    assert!(counted >= 3, "the positive control: the clock itself does");
}

#[test]
fn only_the_processor_spawns_tasks() {
    let strays = strays(
        "outbox-runtime/src",
        &["tokio::spawn", "JoinSet", "spawn_blocking"],
        // The clock keeps paused time from passing while a thread works, which tokio does for blocking tasks alone.
        |file| file.starts_with("processor/") || file == "clock.rs",
    );
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_attr_parses_and_only_expand_quotes() {
    let strays_of = |words: &[&str], place: &str| {
        strays("outbox-macros/src", words, |file| file.starts_with(place))
    };
    assert!(strays_of(&["parse_args", "parse_nested_meta", ".parse2("], "attr").is_empty());
    assert!(strays_of(&["quote!", "quote_spanned!"], "expand/").is_empty());
    let manifest = std::fs::read_to_string(root().join("outbox-macros/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    assert!(
        !dependencies.contains("outbox-runtime"),
        "the macros do not link the runtime"
    );
}

/// The names of the methods in a piece of code.
fn methods(code: &str) -> BTreeSet<&str> {
    let after_fn = code.split("fn ").skip(1);
    after_fn
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// What is between the braces that follow `from`.
fn block(code: &str, from: usize) -> &str {
    let begin = from + code[from..].find('{').unwrap();
    let mut depth = 0;
    let end = code[begin..].char_indices().find(|(_, c)| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    &code[begin..begin + end.unwrap().0]
}

/// The methods of the storage contract that an implementation in this code leaves to their
/// defaults, each with the line that it begins with.
fn left_to_defaults(code: &str) -> Vec<String> {
    let repository = code_of("outbox-runtime/src/repository/mod.rs");
    let contract = methods(block(
        &repository,
        repository.find("pub trait OutboxRepository").unwrap(),
    ));
    let mut left = Vec::new();
    for (at, name) in code.match_indices("OutboxRepository for ") {
        let line = code[at + name.len()..].lines().next().unwrap();
        let body = block(code, at);
        let mut there = methods(body);
        if body.contains("fn $method") {
            there.extend(StoreCall::ALL.iter().map(|call| call.as_str()));
        }
        let missing = contract.difference(&there);
        left.extend(missing.map(|method| format!("{} {method}", line.trim_end_matches(" {"))));
    }
    left
}

fn code_of(file: &str) -> String {
    let path = Path::new(file);
    let folder = path.parent().unwrap().to_str().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut files = code(folder).into_iter();
    files.find(|(file, _)| file == name).unwrap().1
}

#[test]
fn no_wrapper_of_a_store_leaves_a_method_to_its_default() {
    let mut seen = 0;
    let mut left = Vec::new();
    for folder in [
        "outbox-runtime/src",
        "tests/src",
        "tests/outages/src",
        "tests/tests",
    ] {
        for (file, code) in code(folder) {
            seen += code.matches("OutboxRepository for ").count();
            left.extend(
                left_to_defaults(&code)
                    .into_iter()
                    .map(|it| format!("{file}: {it}")),
            );
        }
    }
    left.sort_unstable();
    assert_eq!(
        left,
        [
            // They count or bend claims, so that an exchange is to be an outcome and a claim.
            "resting.rs: Insistent settle_and_claim",
            // A store in memory has nothing to gain: what the default asks for are its own methods.
            "store/memory/repository.rs: MemoryStore oldest_completed",
            "store/memory/repository.rs: MemoryStore settle_and_claim",
            "unhandled.rs: Counting settle_and_claim",
        ]
    );
    assert!(seen >= 9, "{seen} implementations were seen");
    // What is forgotten is found.
    let shared = code_of("outbox-runtime/src/repository/shared.rs");
    let forgetful = shared.replace("async fn rescue_others", "async fn another");
    assert_eq!(left_to_defaults(&forgetful), ["Arc<R> rescue_others"]);
    let faults = code_of("outbox-runtime/src/testing/faults/mod.rs");
    let forgetful = faults.replace("async fn settle_and_claim", "async fn another");
    assert_eq!(
        left_to_defaults(&forgetful),
        ["FaultStore settle_and_claim"]
    );
}

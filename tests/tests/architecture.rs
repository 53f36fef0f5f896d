//! The tree keeps its shape: who imports whom, and what is said in one place only.

use std::path::{Path, PathBuf};

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
    const TOOLS: [&str; 5] = ["clock", "error", "redaction", "retry", "wire"];
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

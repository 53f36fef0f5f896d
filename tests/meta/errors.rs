//! The guide explains every error that a user may meet: each variant has a row with its cause and
//! its cure, and no row is left of what was removed.

use std::collections::{BTreeMap, BTreeSet};

use outbox_tests::reference::{documented, file};
use outbox_tests::sources::{root, rust_files};

/// The packages whose errors a user meets.
const PACKAGES: &[&str] = &[
    "outbox-console",
    "outbox-import",
    "outbox-postgres",
    "outbox-runtime",
    "outbox-testing",
];

/// Enums that explain something although their names do not end in `Error`.
const EXPLANATIONS: &[&str] = &[
    "DeadReason",
    "MappingProblem",
    "RejectReason",
    "StoreErrorKind",
    "WaitsFor",
];

/// Errors that nobody has to mend.
const EXEMPT: &[(&str, &str)] = &[(
    "RemoteError",
    "the answers of a simulated service, which a test scripts itself",
)];

/// The page with the table of each enum.
const PAGES: &[(&str, &[&str])] = &[
    ("dead-letters", &["DeadReason"]),
    (
        "errors",
        &[
            "BuildError",
            "CompleteError",
            "EnqueueError",
            "StoreErrorKind",
            "TransactionError",
        ],
    ),
    (
        "errors-more",
        &[
            "CloudEventError",
            "DecodeError",
            "ExportError",
            "ImportError",
            "KitError",
            "MappingProblem",
            "RejectReason",
            "SendError",
            "TraceContextError",
            "WireLockError",
        ],
    ),
    ("waits", &["WaitsFor"]),
];

/// The public enums of the code by their names, with their variants.
fn enums() -> BTreeMap<String, BTreeSet<String>> {
    let folders = PACKAGES
        .iter()
        .map(|package| root().join(package).join("src"));
    let mut found = BTreeMap::new();
    for path in folders.flat_map(|folder| rust_files(&folder)) {
        let code = std::fs::read_to_string(&path).unwrap();
        for item in syn::parse_file(&code).unwrap().items {
            let syn::Item::Enum(item) = item else {
                continue;
            };
            if matches!(item.vis, syn::Visibility::Public(_)) {
                found.insert(item.ident.to_string(), variants(&item));
            }
        }
    }
    found
}

fn variants(item: &syn::ItemEnum) -> BTreeSet<String> {
    let names = item.variants.iter().map(|it| it.ident.to_string());
    names.collect()
}

/// Whether a user who meets a value of this enum looks for its cause.
fn needs_rows(name: &str) -> bool {
    let is_exempt = EXEMPT.iter().any(|(exempt, _)| *exempt == name);
    (name.ends_with("Error") || EXPLANATIONS.contains(&name)) && !is_exempt
}

/// `AttemptsExhausted` → `attempts_exhausted`, the word that is stored and shown.
fn stored_word(variant: &str) -> String {
    let mut word = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}

#[test]
fn every_error_has_a_table() {
    let enums = enums();
    for (name, reason) in EXEMPT {
        assert!(enums.contains_key(*name), "no enum {name}: {reason}");
    }
    let needed: BTreeSet<&str> = enums
        .keys()
        .map(String::as_str)
        .filter(|name| needs_rows(name))
        .collect();
    let listed: Vec<&str> = PAGES
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    let there: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(listed.len(), there.len(), "an enum has two tables");
    assert_eq!(there, needed, "give it a table in a page of the guide");
}

#[test]
fn every_variant_has_a_row() {
    let enums = enums();
    for (page, names) in PAGES {
        let path = format!("docs/guide/{page}.md");
        for name in *names {
            let rows = documented(&path, &format!("variants: {name}"));
            let distinct: BTreeSet<String> = rows.iter().cloned().collect();
            assert_eq!(rows.len(), distinct.len(), "{path}: {name} has a row twice");
            let variants = match *name {
                "DeadReason" => enums[*name].iter().map(|it| stored_word(it)).collect(),
                _ => enums[*name].clone(),
            };
            assert_eq!(distinct, variants, "{path}: {name}");
        }
    }
}

/// A table that is not in the list would not be compared.
#[test]
fn every_table_of_variants_is_compared() {
    for (page, names) in PAGES {
        let text = file(&format!("docs/guide/{page}.md"));
        let marked = text.split("<!-- variants: ").skip(1);
        let marked: BTreeSet<&str> = marked
            .map(|rest| rest.split(" -->").next().unwrap())
            .collect();
        let names: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(marked, names, "{page}.md");
    }
}

#[test]
fn every_row_says_cause_and_cure() {
    for (page, names) in PAGES {
        let text = file(&format!("docs/guide/{page}.md"));
        for name in *names {
            let marker = format!("<!-- variants: {name} -->\n");
            let (_, table) = text.split_once(&marker).unwrap();
            let rows = table.lines().take_while(|line| line.starts_with('|'));
            for row in rows.skip(2) {
                let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
                let has_empty = cells.iter().any(|cell| cell.is_empty());
                // Nothing has to end a wait that is none.
                assert!(
                    !has_empty || row.starts_with("| `Nothing`"),
                    "{page}.md: {row}"
                );
            }
        }
    }
}

//! The reference pages of the guide list what the code has: nothing is missing, and nothing is left
//! of what was removed.

use std::collections::{BTreeMap, BTreeSet};

use outbox_tests::reference::{cells, documented, file};
use outbox_tests::sources::{root, rust_files};

/// The lists of keys in the macros' own code, by their names.
fn key_lists() -> BTreeMap<String, BTreeSet<String>> {
    let code = file("outbox-macros/src/attr/level.rs");
    let mut lists = BTreeMap::new();
    for item in code.split("const ").skip(1) {
        let Some((name, rest)) = item.split_once(": [&str; ") else {
            continue;
        };
        // A list that is composed of others has a block.
        let Some((_, list)) = rest.split_once("] = [") else {
            continue;
        };
        let (list, _) = list.split_once("];").unwrap();
        let keys = list.split('"').skip(1).step_by(2);
        lists.insert(name.to_owned(), keys.map(str::to_owned).collect());
    }
    lists
}

#[test]
fn every_key_of_the_attributes_is_documented_where_it_belongs() {
    let lists = key_lists();
    let names: Vec<_> = lists.keys().map(String::as_str).collect();
    let expected = [
        "CLASSES",
        "CRATE_KEYS",
        "ENUM_KEYS",
        "FIELD_KEYS",
        "STRUCT_KEYS",
        "VARIANT_KEYS",
    ];
    assert_eq!(names, expected, "a new list needs a table in attributes.md");
    for (name, keys) in lists {
        let page = documented("docs/guide/attributes.md", &format!("keys: {name}"));
        let page: BTreeSet<_> = page.into_iter().collect();
        assert_eq!(page, keys, "{name}");
    }
}

#[test]
fn every_command_is_documented() {
    let code = file("outbox-cli/src/args.rs");
    let (_, commands) = code.split_once("enum Command {\n").unwrap();
    let (commands, _) = commands.split_once("\n}\n").unwrap();
    let variants = commands.lines().filter_map(|line| {
        let variant = line.strip_prefix("    ")?;
        let end = variant.find(|c: char| !c.is_alphanumeric())?;
        let is_variant = variant.starts_with(|c: char| c.is_ascii_uppercase());
        is_variant.then(|| variant[..end].to_lowercase())
    });
    let variants: BTreeSet<_> = variants.collect();
    assert!(variants.contains("doctor"), "{variants:?}");
    let page: BTreeSet<_> = documented("docs/guide/tools.md", "commands")
        .into_iter()
        .collect();
    assert_eq!(page, variants);
    let reference = file("docs/operations/command.md");
    for command in variants {
        assert!(reference.contains(&format!("`{command}")), "{command}");
    }
}

#[test]
fn every_metric_is_in_the_overview() {
    let reference = file("docs/operations/metrics.md");
    let rows = reference
        .lines()
        .filter_map(|row| row.strip_prefix("| `outbox_"));
    let metrics = rows.map(|row| format!("outbox_{}", row.split('`').next().unwrap()));
    let metrics: BTreeSet<_> = metrics.collect();
    assert!(metrics.len() > 10, "{metrics:?}");
    let page = cells("docs/guide/tools.md", "metrics", 1);
    let page: BTreeSet<_> = page
        .into_iter()
        .filter(|word| word.starts_with("outbox_"))
        .collect();
    assert_eq!(page, metrics);
}

/// The methods of a builder that set something: they take it and return it. Handlers are no
/// settings; without one, nothing can be built.
fn settings(builder: &str, folder: &str) -> BTreeSet<String> {
    let is_builder = |ty: &syn::Type| match ty {
        syn::Type::Path(ty) => {
            let last = ty.path.segments.last().unwrap();
            last.ident == builder || last.ident == "Self"
        }
        _ => false,
    };
    let mut found = BTreeSet::new();
    for path in rust_files(&root().join(folder)) {
        let code = std::fs::read_to_string(&path).unwrap();
        for item in syn::parse_file(&code).unwrap().items {
            let syn::Item::Impl(item) = item else {
                continue;
            };
            if item.trait_.is_some() || !is_builder(&item.self_ty) {
                continue;
            }
            let methods = item.items.into_iter().filter_map(|item| match item {
                syn::ImplItem::Fn(method) => Some(method),
                _ => None,
            });
            for syn::ImplItemFn { vis, sig, .. } in methods {
                let is_public = matches!(vis, syn::Visibility::Public(_));
                let takes_it = sig
                    .receiver()
                    .is_some_and(|it| matches!(it.kind, syn::ReceiverKind::Value));
                let returns_it = match &sig.output {
                    syn::ReturnType::Type(_, ty) => is_builder(ty),
                    syn::ReturnType::Default => false,
                };
                let name = sig.ident.to_string();
                if is_public && takes_it && returns_it && !name.starts_with("handle") {
                    found.insert(name);
                }
            }
        }
    }
    found
}

#[test]
fn every_setting_is_documented() {
    for (builder, folder) in [
        ("Enqueue", "outbox-runtime/src/enqueue"),
        ("ProcessorBuilder", "outbox-runtime/src/processor"),
        ("SqliteStoreBuilder", "outbox-runtime/src/store/sqlite"),
        ("PostgresStoreBuilder", "outbox-postgres/src"),
    ] {
        let code = settings(builder, folder);
        assert!(code.len() > 5, "{builder}: {code:?}");
        let page = documented("docs/guide/settings.md", &format!("settings: {builder}"));
        let page: BTreeSet<_> = page.into_iter().collect();
        assert_eq!(page, code, "{builder}");
    }
}

//! What readers of the documentation of the API get: every public item that the author of an
//! application meets has an example about it, settings say their default, and links between the
//! guide and the API lead somewhere.
//!
//! An item is *shown* if a visible line of an example in its documentation names it, or one of its
//! methods, fields or variants. A method is shown if an example of its own names it, or one of its
//! type, or one that its documentation points to: "See [`pause`](Self::pause) for an example".
//! Lines that rustdoc hides do not count, nor do blocks that are text or do not compile.
//!
//! `ALLOWED` says which kinds of items need none, and why.

#[path = "../architecture/mentions.rs"]
#[allow(dead_code, reason = "the architecture's tests use the rest")]
mod mentions;
#[path = "../architecture/resolve.rs"]
#[allow(dead_code, reason = "the architecture's tests use the rest")]
mod resolve;
#[path = "../architecture/tree.rs"]
#[allow(dead_code, reason = "the architecture's tests use the rest")]
mod tree;

mod docs;
mod fixture;
mod kinds;
mod links;
mod names;
mod surface;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::kinds::Allowed;
use self::surface::{Package, Surface};

/// What an application uses. The modules `store` and `support` of the runtime are for authors of
/// stores and drivers, and for what the derives generate; `prelude` only repeats names.
const PACKAGES: &[Package<'_>] = &[
    Package {
        folder: "outbox-runtime",
        modules: &["", "http"],
        // Made by a method of the surface.
        items: &["store::SqliteStoreBuilder", "store::StatementCounter"],
        // Other crates, re-exported whole.
        foreign: &["async_trait", "rusqlite"],
        generated: &[],
    },
    Package {
        folder: "outbox-testing",
        modules: &["", "wire_lock"],
        items: &[],
        foreign: &[],
        // Its documentation and its example stand in the macro.
        generated: &["StoreCall"],
    },
    Package {
        folder: "outbox-console",
        modules: &[""],
        items: &[],
        foreign: &[],
        generated: &[],
    },
    Package {
        folder: "outbox-postgres",
        modules: &["", "tls"],
        items: &[],
        foreign: &["deadpool_postgres", "tokio_postgres", "rustls"],
        generated: &[],
    },
    Package {
        folder: "outbox-import",
        modules: &[""],
        items: &[],
        foreign: &[],
        generated: &[],
    },
    Package {
        folder: "integrations/outbox-sqlx",
        modules: &[""],
        items: &[],
        foreign: &[],
        generated: &[],
    },
    Package {
        folder: "integrations/outbox-diesel",
        modules: &[""],
        items: &[],
        foreign: &[],
        generated: &[],
    },
];

/// The kinds of items that need no example of their own.
const ALLOWED: &[(Allowed, &str)] = &[
    (
        Allowed::Getter,
        "it returns a field, and the example of its type shows where the value comes from",
    ),
    (
        Allowed::ForStores,
        "its documentation says that it is for authors of stores, whose example is a store",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The folders of the packages that are published, from the root of the repository.
fn folders() -> Vec<String> {
    let mut folders = Vec::new();
    for place in ["", "integrations/"] {
        for entry in std::fs::read_dir(root().join(place)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let folder = format!("{place}{name}");
            if name.starts_with("outbox-") && root().join(&folder).join("src").exists() {
                folders.push(folder);
            }
        }
    }
    folders.sort_unstable();
    folders
}

/// Every package is read once, for all tests.
static SURFACES: LazyLock<Vec<Surface>> = LazyLock::new(|| {
    let read =
        |package: &Package<'_>| Surface::read(&root().join(package.folder).join("src"), package);
    PACKAGES.iter().map(read).collect()
});

fn surface_of(package: &Package<'_>) -> &'static Surface {
    let at = PACKAGES.iter().position(|it| it.folder == package.folder);
    &SURFACES[at.unwrap()]
}

#[test]
fn every_item_of_the_surface_has_an_example_about_it() {
    let mut lacking = Vec::new();
    for package in PACKAGES {
        let surface = surface_of(package);
        let found = surface.lacking(ALLOWED.iter().map(|(kind, _)| *kind));
        println!(
            "{}: {} items, {} methods; {} need no example of their own, {} lack one",
            package.folder,
            surface.items.len(),
            surface.methods(),
            found.allowed,
            found.lacking.len()
        );
        lacking.extend(
            found
                .lacking
                .iter()
                .map(|it| format!("{}: {it}", package.folder)),
        );
    }
    assert!(
        lacking.is_empty(),
        "add an example that names it, in a line that readers see:\n{}",
        lacking.join("\n")
    );
}

/// What a reader of the sources cannot find must be in a list, or the check would pass over it.
#[test]
fn every_name_of_the_surface_is_found() {
    for package in PACKAGES {
        let surface = surface_of(package);
        let mut known: Vec<&str> = [package.foreign, package.generated].concat();
        known.sort_unstable();
        assert_eq!(surface.not_found, known, "{}", package.folder);
        assert!(
            surface.items.len() >= 2,
            "{} has no surface",
            package.folder
        );
    }
    let items: usize = PACKAGES.iter().map(|it| surface_of(it).items.len()).sum();
    assert!(items > 120, "found only {items} items");
}

/// The documentation of a derive stands in two parts: what it generates in its crate, and the
/// example where the runtime re-exports it, because it needs the runtime to compile.
#[test]
fn every_derive_has_an_example_where_it_is_re_exported() {
    let derives = surface::derives(&root().join("outbox-macros/src/lib.rs"));
    assert!(derives.len() >= 4, "found only {derives:?}");
    let runtime = surface_of(&PACKAGES[0]);
    for derive in derives {
        let docs = runtime
            .foreign_docs
            .get(&format!("outbox_macros::{derive}"));
        let is_shown = docs.is_some_and(|docs| docs::names(docs, &derive));
        assert!(is_shown, "`derive({derive})` has no example");
    }
}

#[test]
fn settings_say_their_default() {
    let mut silent = Vec::new();
    let mut seen = 0;
    for package in PACKAGES {
        let surface = surface_of(package);
        for setting in surface.settings() {
            seen += 1;
            if !setting.docs.contains("efault") {
                silent.push(format!("{}: {}", package.folder, setting.name));
            }
        }
    }
    assert!(seen > 40, "found only {seen} settings");
    assert!(silent.is_empty(), "say the default:\n{}", silent.join("\n"));
}

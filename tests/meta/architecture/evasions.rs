//! Controls: evasions that the rules must detect, each in a small in-memory crate.

use super::contract;
use super::directions::PackageRules;
use super::rules::{circles_not_allowed, stray_calls, strays, wrong_directions, wrong_siblings};
use super::tree::Tree;

/// `event` may use the clock, and no module may use the processor.
const ROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("event", &["clock"]),
    ("processor", &["clock", "event"]),
];

const ROOT: &str = "
    mod clock;
    mod event;
    mod processor;
    pub use crate::processor::Running;
    pub mod prelude { pub use crate::Running; }
";

/// A crate whose module `event` has this code.
fn with_event(code: &str) -> Tree {
    Tree::of(&[
        ("lib.rs", ROOT),
        (
            "clock.rs",
            "pub use chrono::Utc as Calendar; pub fn now() {}",
        ),
        ("event/mod.rs", code),
        ("event/deep.rs", "pub struct Deep;"),
        (
            "processor/mod.rs",
            "mod running; pub use self::running::Running;",
        ),
        (
            "processor/running.rs",
            "pub struct Running; pub fn run() {}",
        ),
    ])
}

/// Asserts that the rules find this code in `event` to use the processor.
#[track_caller]
fn assert_is_found(code: &str) {
    let rows = [ROWS, &[("prelude", &["processor"])]].concat();
    let found = wrong_directions(&with_event(&format!("{code} mod deep;")), &rows);
    let is_found = found
        .iter()
        .any(|it| it.starts_with("event/mod.rs uses processor"));
    assert!(is_found, "{code}: {found:?}");
}

#[test]
fn allowed_uses_are_not_found() {
    let rows = [ROWS, &[("prelude", &["processor"])]].concat();
    let code = "
        mod deep;
        use crate::{clock::{self, now}, event::deep::Deep as Processor};
        // crate::processor::Running
        /// `crate::processor::Running`, in a text.
        fn event(processor: Processor) {
            clock::now(); now(); let run = processor; \"crate::processor\"; }
        #[cfg(test)]
        mod tests { use crate::processor::Running; }
    ";
    assert_eq!(wrong_directions(&with_event(code), &rows), [""; 0]);
}

#[test]
fn a_nested_group_is_found() {
    assert_is_found("use crate::{processor::Running, clock};");
    assert_is_found("use crate::{clock, processor::{self, running::{run as go}}};");
    assert_is_found("use crate::{clock::{self, super::processor::Running}};");
}

#[test]
fn a_path_by_super_or_self_is_found() {
    assert_is_found("use super::processor;");
    assert_is_found("fn f() { super::processor::run() }");
    assert_is_found("use self::super::processor::Running;");
    let deep = Tree::of(&[
        ("lib.rs", ROOT),
        ("clock.rs", ""),
        ("event/mod.rs", "mod deep;"),
        ("event/deep.rs", "use super::super::processor;"),
        ("processor/mod.rs", "pub struct Running;"),
    ]);
    let found = wrong_directions(&deep, ROWS);
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("event/deep.rs uses processor")),
        "{found:?}"
    );
}

#[test]
fn a_reexport_at_the_root_is_found() {
    assert_is_found("use crate::Running;");
    assert_is_found("use crate::Running as Handle;");
    assert_is_found("fn f(_: crate::Running) {}");
    assert_is_found("use crate::prelude::Running;");
    assert_is_found("pub use crate::Running;");
}

#[test]
fn a_glob_is_found() {
    assert_is_found("use crate::*; fn f(_: Running) {}");
    assert_is_found("use crate::prelude::*; fn f(_: Running) {}");
    assert_is_found("use crate::processor::*;");
    assert_is_found("use super::*; fn f() { processor::run() }");
}

#[test]
fn an_inline_path_is_found() {
    assert_is_found("fn f() -> Option<crate::processor::Running> { None }");
    assert_is_found("fn f() { let run = crate::processor::run; }");
    assert_is_found("impl From<crate::Running> for u8 {}");
    assert_is_found("trait T { fn f(&self) where Self: Into<crate::Running>; }");
    assert_is_found("fn f() { use crate::processor as engine; engine::run() }");
    assert_is_found("type Handle = crate::Running;");
    assert_is_found("mod inner { use crate::event::deep; use super::super::processor; }");
}

#[test]
fn a_path_in_a_macro_or_an_attribute_is_found() {
    assert_is_found("fn f() { println!(\"{:?}\", crate::processor::run()) }");
    assert_is_found("macro_rules! make { () => { $crate::processor::run() } }");
    assert_is_found("macro_rules! import { () => { use crate::{clock, processor::Running}; } }");
    assert_is_found("#[serde(with = \"crate::processor\")] struct S;");
    assert_is_found("#[derive(crate::processor::Derive)] struct S;");
}

#[test]
fn a_module_without_a_row_and_a_row_without_a_module_are_found() {
    let rows = [ROWS, &[("gone", &[])]].concat();
    assert_eq!(
        wrong_directions(&with_event("mod deep;"), &rows),
        [
            "`prelude` has no row in directions.rs",
            "the row of `gone` matches no module",
        ]
    );
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let tree = Tree::of(&[
        ("lib.rs", "#[cfg(test)] mod tests; mod a;"),
        ("a.rs", ""),
        ("hidden.rs", ""),
        ("tests.rs", ""),
    ]);
    assert_eq!(tree.undeclared, ["hidden.rs"]);
}

#[test]
fn reading_the_time_through_an_alias_is_found() {
    for code in [
        "fn f() { chrono::Utc::now(); }",
        "use chrono::Utc as Calendar; fn f() { Calendar::now(); }",
        "use chrono::{DateTime, Utc}; fn f() { <Utc>::now(); }",
        "use chrono::prelude::*; fn f() { Utc::now(); }",
        "type Calendar = chrono::Utc; fn f() { Calendar::now(); }",
        "use crate::clock::Calendar; fn f() { Calendar::now(); }",
        "extern crate chrono as time; fn f() { time::Utc::now(); }",
        "fn f() { let ask = ::chrono::Utc::now; }",
        "fn f() { println!(\"{}\", chrono::Utc::now()); }",
    ] {
        let tree = with_event(&format!("{code} mod deep;"));
        let found = strays(&tree, &["Utc::now"], |file| file == "clock.rs");
        assert!(!found.is_empty(), "{code}");
    }
    let harmless =
        with_event("mod deep; use chrono::{DateTime, Utc}; fn now() -> DateTime<Utc> { todo!() }");
    assert_eq!(strays(&harmless, &["Utc::now"], |_| false), [""; 0]);
}

#[test]
fn a_database_through_an_alias_is_found() {
    for code in [
        "use rusqlite as database; fn f(_: &database::Connection) {}",
        "use crate::sql::Connection; fn f(_: Connection) {}",
        "fn f(_: &crate::sql::Connection) {}",
    ] {
        let tree = Tree::of(&[
            ("lib.rs", "pub use rusqlite as sql; mod event;"),
            ("event.rs", code),
        ]);
        let found = strays(&tree, &["rusqlite"], |file| file == "lib.rs");
        assert!(!found.is_empty(), "{code}");
    }
}

#[test]
fn a_spawn_through_an_alias_is_found() {
    for code in [
        "use tokio::task; fn f() { task::spawn(async {}); }",
        "use tokio::{spawn as go}; fn f() { go(async {}); }",
        "struct S(tokio::task::JoinSet<()>);",
    ] {
        let tree = with_event(&format!("{code} mod deep;"));
        let words = ["tokio::spawn", "task::spawn", "JoinSet"];
        assert!(!strays(&tree, &words, |_| false).is_empty(), "{code}");
    }
    let tree = with_event("mod deep; fn f(runtime: &Handle) { runtime.spawn_blocking(|| ()); }");
    assert_eq!(stray_calls(&tree, &["spawn_blocking"], |_| false).len(), 1);
}

#[test]
fn a_circle_is_found_and_a_facade_is_not_one() {
    let files = |one: &'static str, other: &'static str| {
        Tree::of(&[
            ("lib.rs", "mod part;"),
            (
                "part/mod.rs",
                "mod one; mod other; pub use self::one::One; pub(crate) use self::other::Other;",
            ),
            ("part/one.rs", one),
            ("part/other.rs", other),
        ])
    };
    let round = files(
        "pub struct One(super::Other);",
        "use super::One; pub struct Other; fn f(_: One) {}",
    );
    assert_eq!(circles_not_allowed(&round, &[]).len(), 1);
    assert_eq!(
        circles_not_allowed(&round, &[&["part/one.rs", "part/other.rs"]]),
        [""; 0]
    );
    let line = files("pub struct One(super::Other);", "pub struct Other;");
    assert_eq!(circles_not_allowed(&line, &[]), [""; 0]);
    let modules = Tree::of(&[
        ("lib.rs", "mod one; mod other; pub use one::One;"),
        ("one.rs", "pub struct One(crate::other::Other);"),
        (
            "other.rs",
            "pub struct Other; impl From<crate::One> for Other {}",
        ),
    ]);
    assert_eq!(circles_not_allowed(&modules, &[]).len(), 1);
}

#[test]
fn a_dependency_on_the_wrong_sibling_is_found() {
    const RULES: PackageRules = PackageRules {
        name: "runtime",
        siblings: &["macros"],
        modules: &[],
        circles: None,
    };
    let siblings = ["macros", "runtime", "testing-kit"].map(str::to_owned);
    let empty = Tree::of(&[("lib.rs", "use macros::Derive;")]);
    let found = |manifest: &str| wrong_siblings(&RULES, manifest, &empty, &siblings);
    for manifest in [
        "[dependencies]\ntesting-kit.workspace = true",
        "[dependencies]\ntesting-kit = { path = \"..\" }",
        "[dependencies]\nkit = { package = \"testing-kit\", path = \"..\" }",
        "[dependencies.testing-kit]\npath = \"..\"",
        "[dependencies.kit]\npackage = \"testing-kit\"",
        "[target.'cfg(unix)'.dependencies]\ntesting-kit = \"1\"",
        "[build-dependencies]\ntesting-kit = \"1\"",
    ] {
        assert_eq!(found(manifest).len(), 1, "{manifest}");
    }
    let allowed = "[dependencies]\nmacros = \"1\"\n\n[dev-dependencies]\ntesting-kit = \"1\"";
    assert_eq!(found(allowed), [""; 0]);
    let code = Tree::of(&[("lib.rs", "mod a { use testing_kit::{Clock as Time}; }")]);
    assert_eq!(wrong_siblings(&RULES, "", &code, &siblings).len(), 1);
}

#[test]
fn a_wrapper_that_forgets_a_method_is_found() {
    let code = "
        trait OutboxRepository: Sized { fn claim(&self); fn settle(&self) { self.claim() } }
        macro_rules! wrap { ($($method:ident)+) => {
            impl OutboxRepository for Wrapper { $(fn $method(&self) {})+ fn clock(&self) {} }
        }; }
        impl<R> OutboxRepository for Box<R> { fn claim(&self) { fn settle() {} } }
    ";
    assert_eq!(contract::declared(code, "OutboxRepository").len(), 2);
    let found = contract::implementations(code);
    let methods: Vec<String> = found
        .iter()
        .map(|it| format!("{}: {:?}", it.implementor, it.methods))
        .collect();
    assert_eq!(
        methods,
        ["Wrapper: {\"$method\", \"clock\"}", "Box<R>: {\"claim\"}"]
    );
}

//! Controls: a small package in which examples are missing in every way.

use super::kinds::Allowed;
use super::surface::{Package, Surface};

const PACKAGE: Package<'_> = Package {
    folder: "fixture",
    modules: &["", "inner"],
    items: &["inner::made::Builder"],
    foreign: &[],
    generated: &[],
};

const ALL: [Allowed; 2] = [Allowed::Getter, Allowed::ForStores];

fn lacking(files: &[(&str, &str)]) -> Vec<String> {
    Surface::of(files, &PACKAGE).lacking(ALL).lacking
}

/// Puts code in the module `inner`, which the surface has.
fn lacking_in(code: &str) -> Vec<String> {
    let made = "/// ```\n/// Builder;\n/// ```\npub struct Builder;";
    let inner = format!("pub mod made;\n{code}");
    lacking(&[
        ("lib.rs", "pub mod inner;"),
        ("inner.rs", &inner),
        ("inner/made.rs", made),
    ])
}

#[test]
fn an_item_without_an_example_is_found() {
    for code in [
        "/// Nothing.\npub struct Thing;",
        "/// ```\n/// other();\n/// ```\npub struct Thing;",
        "/// ```\n/// # Thing\n/// other();\n/// ```\npub enum Thing { A }",
        "/// ```text\n/// Thing\n/// ```\npub trait Thing {}",
        "/// ```compile_fail\n/// Thing\n/// ```\npub fn Thing() {}",
        "/// ```\n/// Things // Thing\n/// ```\npub type Thing = u8;",
        "mod deep { /// None.\n pub struct Thing; }\npub use deep::Thing;",
        "mod deep { /// None.\n pub struct Other; }\npub use self::deep::Other as Thing;",
        "/// None.\n#[macro_export]\nmacro_rules! Thing { () => {} }",
    ] {
        let found = lacking_in(code);
        assert!(
            found == ["Thing"] || found == ["Other"],
            "{code}: {found:?}"
        );
    }
}

#[test]
fn an_item_with_an_example_about_it_is_fine() {
    for code in [
        "/// ```\n/// let thing = Thing;\n/// ```\npub struct Thing;",
        "/// ```no_run\n/// Thing::new();\n/// ```\npub struct Thing;",
        "/// ```\n/// f().size;\n/// ```\npub struct Thing { pub size: u8 }",
        "/// ```\n/// A\n/// ```\npub enum Thing { A }",
        "struct Thing;",
        "pub(crate) struct Thing;",
        "#[doc(hidden)]\npub struct Thing;",
        "pub const THING: u8 = 1;",
        "mod deep { pub struct Thing; }",
        "#[doc(hidden)]\n#[macro_export]\nmacro_rules! Thing { () => {} }",
        "/// For stores.\npub struct Thing;",
    ] {
        assert_eq!(lacking_in(code), [""; 0], "{code}");
    }
}

/// A type with an example that names `new`, and this method.
fn method(docs: &str, method: &str) -> Vec<String> {
    lacking_in(&format!(
        "mod a {{
            /// ```
            /// let thing = Thing::new();
            /// ```
            pub struct Thing {{ size: u8 }}
        }}
        mod b {{
            impl super::a::Thing {{
                pub fn new() -> Self {{ todo!() }}
                {docs}
                {method}
            }}
        }}
        pub use a::Thing;"
    ))
}

#[test]
fn a_method_without_an_example_is_found() {
    for (docs, code) in [
        ("", "pub fn wanted(&self) -> u8 { self.size + 1 }"),
        ("", "pub fn wanted(&self, other: u8) -> u8 { self.size }"),
        ("", "pub async fn wanted(&self) -> u8 { self.size }"),
        ("", "pub fn wanted(&self) -> u8 { self.size.pow() }"),
        ("/// ```\n/// # wanted()\n/// ```", "pub fn wanted() {}"),
        ("/// ```\n/// unwanted()\n/// ```", "pub fn wanted() {}"),
        (
            "/// See [`new`](Self::new) for an example.",
            "pub fn wanted() {}",
        ),
        ("/// See [`never`] for an example.", "pub fn wanted() {}"),
    ] {
        assert_eq!(method(docs, code), ["Thing::wanted"], "{docs} {code}");
    }
    let of_trait =
        "/// ```\n/// impl Thing for A {}\n/// ```\npub trait Thing { fn wanted(&self); }";
    assert_eq!(lacking_in(of_trait), ["Thing::wanted"]);
}

#[test]
fn a_method_that_is_shown_or_needs_no_example_is_fine() {
    for (docs, code) in [
        (
            "/// ```\n/// thing.wanted()?;\n/// ```",
            "pub fn wanted() {}",
        ),
        ("", "pub fn wanted(&self) -> u8 { self.size }"),
        ("", "pub fn wanted(&self) -> &[u8] { self.size.as_slice() }"),
        ("/// The size. For\n/// stores.", "pub fn wanted() {}"),
        ("#[doc(hidden)]", "pub fn wanted() {}"),
        ("", "fn wanted() {}"),
        (
            "/// See [`other`](Self::other) for an\n/// example.",
            "pub fn wanted() {}\n/// ```\n/// other().wanted();\n/// ```\npub fn other() {}",
        ),
    ] {
        assert_eq!(method(docs, code), [""; 0], "{docs} {code}");
    }
}

#[test]
fn a_getter_of_a_type_without_an_example_is_found() {
    let code = "/// None.\npub struct Thing { size: u8 }
        impl Thing { pub fn size(&self) -> u8 { self.size } }";
    assert_eq!(lacking_in(code), ["Thing", "Thing::size"]);
}

#[test]
fn a_name_that_is_not_in_the_sources_is_told() {
    let surface = Surface::of(
        &[
            (
                "lib.rs",
                "mod a;\npub mod inner;\npub use a::Made;\npub use serde::Serialize;",
            ),
            ("a.rs", "make!(Made);"),
            ("inner.rs", "pub mod made;"),
            ("inner/made.rs", "pub struct Builder;"),
        ],
        &PACKAGE,
    );
    assert_eq!(surface.not_found, ["Made", "Serialize"]);
}

#[test]
fn only_methods_that_return_self_are_settings() {
    let code = "/// ```\n/// Builder::new().size(1)\n/// ```\npub struct Builder;
        impl Builder {
            pub fn new() -> Self { todo!() }
            /// The size.
            pub fn size(self, size: u8) -> Self { todo!() }
            pub fn build(self) -> u8 { todo!() }
        }";
    let files = [
        ("lib.rs", "pub mod inner;"),
        ("inner.rs", "pub mod made;"),
        ("inner/made.rs", code),
    ];
    let surface = Surface::of(&files, &PACKAGE);
    let names: Vec<String> = surface.settings().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["Builder::size"]);
}

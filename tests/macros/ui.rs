//! What the derives accept and refuse, and the words in which they refuse it.
//!
//! The folders of `ui/fail` are classes of errors. `TRYBUILD=overwrite cargo test -p outbox-tests --test ui` writes what the compiler
//! says; read it before it is committed.

#[test]
fn the_derives_accept() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn the_derives_refuse() {
    trybuild::TestCases::new().compile_fail("ui/fail/*/*.rs");
}

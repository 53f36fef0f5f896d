//! What the derives accept and reject, and the wording of the errors.
//!
//! The directories of `ui/fail` are classes of errors. `TRYBUILD=overwrite cargo test -p
//! outbox-tests --test ui` writes the compiler's output; review it before committing.

#[test]
fn the_derives_accept() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn the_derives_refuse() {
    trybuild::TestCases::new().compile_fail("ui/fail/*/*.rs");
}

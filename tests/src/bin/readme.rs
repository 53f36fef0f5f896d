//! The README's first program, verbatim: `tests/meta/readme.rs` compares the two, and runs it.

#![allow(
    clippy::disallowed_methods,
    reason = "the program of a user waits by the clock of the machine"
)]

// Included, because rustfmt's layout differs from the README's.
include!("../../readme/program.rs");

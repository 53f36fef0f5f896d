//! The README's first program, verbatim: `tests/meta/readme.rs` compares the two, and runs it.

// Included, because rustfmt's layout differs from the README's.
include!("../../readme/program.rs");

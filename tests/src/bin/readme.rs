//! The first program of the README, as it stands there: `tests/readme.rs` compares the two, and runs it.

// Included, as rustfmt would lay it out in another way than the README does.
include!("../../readme/program.rs");

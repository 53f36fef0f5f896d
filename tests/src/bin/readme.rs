//! The README's first program, verbatim: `tests/meta/readme.rs` compares the two, and runs it.
//!
//! It runs in the folder that the argument names. Without one it runs in a temporary folder, as it
//! leaves its database where it runs.

#![allow(
    clippy::disallowed_methods,
    reason = "the program of a user waits by the clock of the machine"
)]

use std::error::Error;
use std::path::PathBuf;

mod program {
    // Included, because rustfmt's layout differs from the README's.
    include!("../../readme/program.rs");

    pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
        main()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    std::env::set_current_dir(named.as_deref().unwrap_or(temporary.path()))?;
    program::run()
}

//! The command line of both apps: shared settings, and the commands that are the same in each.
//!
//! An app opens its [`Ground`] from the [`Settings`], adds its handlers with [`Ground::processor`],
//! and passes both to the commands.

use std::io::Write;
use std::path::PathBuf;

mod explain; // why an entity is not delivered
mod ground; // the base of every command: store, session, client
mod progress; // a progress bar
mod run; // exit codes
mod sign; // signing in and out
mod status; // the status table
mod sync; // delivering

pub use self::explain::explain;
pub use self::ground::{Ground, Settings};
pub use self::progress::{BAR_FROM, bar, import_bar};
pub use self::run::run;
pub use self::sign::{Leave, SignIn, SignOutArguments, sign_in, sign_out};
pub use self::status::{statistics_table, status};
pub use self::sync::{SyncArguments, Synced, sync};

/// Checks an argument that must be a file, because opening it would create a database.
///
/// # Errors
///
/// If the file does not exist.
pub fn existing_file(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path.is_file() {
        Ok(path)
    } else {
        Err("the file does not exist; nothing was done")
    }
}

/// Prints a line. A closed stdout is ignored.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

//! The command line that both apps have: settings that every command takes, and the commands that are the same in each.
//!
//! An app opens its [`Ground`] from the [`Settings`], adds its handlers by [`Ground::processor`], and hands both to the commands.

use std::io::Write;
use std::path::PathBuf;

mod explain; // why an entity is not delivered
mod ground; // what every command stands on: store, session, client
mod progress; // a bar for long work
mod run; // from a command to an exit code
mod sign; // signing in and out
mod status; // what is in the outbox
mod sync; // delivering

pub use self::explain::explain;
pub use self::ground::{Ground, Settings};
pub use self::progress::{BAR_FROM, bar, import_bar};
pub use self::run::run;
pub use self::sign::{Leave, SignIn, SignOutArguments, sign_in, sign_out};
pub use self::status::{statistics_table, status};
pub use self::sync::{SyncArguments, Synced, sync};

/// For an argument that must be a file: refused before anything is opened, which would make a database.
///
/// # Errors
///
/// Where no file is there.
pub fn existing_file(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path.is_file() {
        Ok(path)
    } else {
        Err("there is no such file; nothing was done")
    }
}

/// A line for whoever called. A reader that has gone away changes nothing about the work.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

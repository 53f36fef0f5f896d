//! Several commits that reach the medium together.
//!
//! With `synchronous = FULL`, SQLite waits for the medium with each commit. Where many closures
//! wait, each with a commit of its own, that would take as many waits. A commit is in the `-wal`
//! file before SQLite waits, though, and to wait once after the last of them is to wait for all:
//! whoever asked is answered only then. Until then a commit is as with `NORMAL`: others see it, and
//! a power failure may undo it together with all that came after it.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;

/// The log of the writer's connection, and whether the medium has all of it.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Wal {
    /// SQLite's locks are on other files, so opening and closing this one drops none of them.
    file: Option<File>,
    /// Commits were not waited for.
    is_put_off: bool,
}

impl Wal {
    pub(in crate::store::sqlite) fn open(path: Option<&Path>) -> Self {
        let file = path.and_then(|path| File::options().write(true).open(path).ok());
        Self {
            file,
            is_put_off: false,
        }
    }

    /// From now on commits do not wait for the medium, until [`catch_up`](Self::catch_up). Where
    /// that cannot be, each waits as before.
    pub(super) fn put_off(&mut self, conn: &Connection) {
        if self.file.is_some() && set(conn, "NORMAL").is_ok() {
            self.is_put_off = true;
        }
    }

    pub(super) fn is_put_off(&self) -> bool {
        self.is_put_off
    }

    /// Takes over from the connection before this one, where its commits were not waited for.
    pub(super) fn succeed(&mut self, before: &Self) {
        self.is_put_off = before.is_put_off;
    }

    /// Waits until the medium has what was committed meanwhile.
    pub(super) fn catch_up(&mut self, conn: &Connection) -> io::Result<()> {
        if !self.is_put_off {
            return Ok(());
        }
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| io::Error::other("the -wal file could not be opened"))?;
        file.sync_data()?;
        // Should that fail, the next commit is waited for here as well.
        self.is_put_off = set(conn, "FULL").is_err();
        Ok(())
    }

    /// After the medium refused: later commits would build on what it may not have, so all of it
    /// goes into the database itself, and the log begins anew.
    pub(super) fn start_over(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        set(conn, "FULL")?;
        self.is_put_off = false;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

/// A pragma takes effect while it is prepared, so no statement is kept for it.
fn set(conn: &Connection, synchronous: &str) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", synchronous)
}

//! Flushes several commits to the storage device together.
//!
//! With `synchronous = FULL`, SQLite waits for the device on each commit. Many queued closures,
//! each with its own commit, would take as many waits. But a commit is in the `-wal` file before
//! SQLite waits, so one wait after the last commit covers all of them, and callers get their
//! answers only after it. Until then a commit is as with `NORMAL`: other connections see it, and a
//! power failure may undo it together with all later ones.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;

/// The log of the writing connection, and whether all of it was flushed.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Wal {
    /// SQLite locks other files, so opening and closing this one drops no locks.
    file: Option<File>,
    /// Whether some commits were not flushed.
    is_sync_deferred: bool,
}

impl Wal {
    pub(in crate::store::sqlite) fn open(path: Option<&Path>) -> Self {
        let file = path.and_then(|path| File::options().write(true).open(path).ok());
        Self {
            file,
            is_sync_deferred: false,
        }
    }

    /// Stops commits from waiting for the device, until [`sync`](Self::sync). If that
    /// fails, each commit waits as before.
    pub(super) fn defer_sync(&mut self, conn: &Connection) {
        if self.file.is_some() && set(conn, "NORMAL").is_ok() {
            self.is_sync_deferred = true;
        }
    }

    pub(super) fn is_sync_deferred(&self) -> bool {
        self.is_sync_deferred
    }

    /// Takes over the unflushed commits of the previous connection.
    pub(super) fn take_over(&mut self, before: &Self) {
        self.is_sync_deferred = before.is_sync_deferred;
    }

    /// Waits until the device has all earlier commits.
    pub(super) fn sync(&mut self, conn: &Connection) -> io::Result<()> {
        if !self.is_sync_deferred {
            return Ok(());
        }
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| io::Error::other("cannot open the -wal file"))?;
        file.sync_data()?;
        // If this fails, the next commit is flushed here as well.
        self.is_sync_deferred = set(conn, "FULL").is_err();
        Ok(())
    }

    /// Called after the device reported an error: later commits would build on a log that may be
    /// incomplete, so all of it is moved into the database, and the log starts over.
    pub(super) fn restart(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        set(conn, "FULL")?;
        self.is_sync_deferred = false;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

/// A pragma takes effect when it is prepared, so its statement is not cached.
fn set(conn: &Connection, synchronous: &str) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", synchronous)
}

/// Four times SQLite's default: lowers the 99th percentile of commit times by an order of
/// magnitude.
pub(in crate::store::sqlite) const CHECKPOINT_PAGES: i64 = 4_000;

/// Whether the log is long enough to be written back into the database. SQLite's own checkpoints
/// are off, because they run within the commit that makes the log too long.
pub(super) fn is_checkpoint_due(conn: &Connection) -> bool {
    let pages = || -> rusqlite::Result<i64> {
        conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
            .query_row([], |row| row.get(1))
    };
    pages().is_ok_and(|pages| pages >= CHECKPOINT_PAGES)
}

/// Writes the log back into the database, as far as readers allow.
pub(super) fn checkpoint(conn: &Connection) {
    let done = conn
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
        .and_then(|mut checkpoint| checkpoint.query_row([], |_| Ok(())));
    if let Err(error) = done {
        let error = error.to_string();
        tracing::debug!(
            ?error,
            "cannot write the log back; a later commit tries again"
        );
    }
}

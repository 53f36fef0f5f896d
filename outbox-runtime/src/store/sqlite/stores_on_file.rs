//! The stores on the file of a caller's connection.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::database_path::database_path;
use super::own_thread;
use super::watch::Watch;
use crate::clock::{Clock, SystemClock};

/// The stores on the same file, for an event written on any connection.
pub(super) struct StoresOnFile {
    /// The clock that the event's due time is compared with.
    pub(super) clock: Arc<dyn Clock>,
    watches: Vec<Arc<Watch>>,
}

impl StoresOnFile {
    /// The stores on the main database of `conn`.
    pub(super) fn of(conn: &Connection) -> Self {
        // A store announces its writer's commits itself.
        if let Some(clock) = own_thread::writers_clock() {
            return Self {
                clock,
                watches: Vec::new(),
            };
        }
        Self::at(database_path(conn).as_deref())
    }

    /// The stores on the database at this path, as SQLite reports it.
    pub(super) fn at(path: Option<&Path>) -> Self {
        let watches: Vec<Arc<Watch>> = path.map(Watch::of_file).unwrap_or_default();
        Self {
            clock: watches.first().map_or_else(
                || Arc::new(SystemClock) as Arc<dyn Clock>,
                |watch| watch.clock(),
            ),
            watches,
        }
    }

    /// Called after the event is written: tells the stores to expect a commit soon.
    pub(super) fn expect_commit(&self) {
        for watch in &self.watches {
            watch.expect_commit();
        }
    }
}

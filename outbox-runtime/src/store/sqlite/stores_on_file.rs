//! The stores on the file of a caller's connection.

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
        let watches: Vec<Arc<Watch>> = database_path(conn)
            .map(|path| Watch::of_file(&path))
            .unwrap_or_default();
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

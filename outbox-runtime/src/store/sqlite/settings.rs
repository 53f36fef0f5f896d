//! The settings of a store and its connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::counter::StatementCounter;
use super::temporary::TemporaryFolder;

/// How far a commit must get before it is acknowledged.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{Durability, SqliteStore};
/// # fn builder() {
/// // A power failure may lose the last moments; the app reads them from its sensor again.
/// SqliteStore::builder("readings.db").durability(Durability::Normal);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Every commit waits for the storage device: a power failure loses no acknowledged commit. The
    /// default.
    #[default]
    Full,
    /// Commits reach the operating system: a power failure may lose the last ones, a crash of the
    /// process loses none. Faster where one producer commits event by event, because no commit
    /// waits for the device.
    Normal,
}

impl Durability {
    pub(super) fn as_pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// What opening a store may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Creates the file and the tables, and migrates them.
    Migrate,
    /// Needs the tables of this program's version.
    Existing,
    /// Needs them too, and writes nothing.
    ReadOnly,
}

/// Settings of the store and its connections.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The folder of a test store, removed once the store and its threads have ended.
    pub(super) temporary: Option<Arc<TemporaryFolder>>,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) queue_bound: usize,
    pub(super) single_process: bool,
    /// Whether the history of an event has its delivery.
    pub(super) keeps_deliveries: bool,
    pub(super) access: Access,
    pub(super) statements: Option<StatementCounter>,
    pub(super) on_connect: OnConnect,
}

/// The application's hook for each new connection of the store.
#[derive(Clone, Default)]
pub(super) struct OnConnect(pub(super) Option<Arc<Hook>>);

pub(super) type Hook = dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync;

impl OnConnect {
    pub(super) fn run(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(conn))
    }
}

/// Hides the hook, which may hold a key.
impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

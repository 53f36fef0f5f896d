//! Opening a SQLite store, and with what settings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::counter::StatementCounter;
use super::temporary::TemporaryFolder;
use super::threads::{self, Opened};
use super::{Shared, SqliteStore, State};
use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::kit::Signal;

/// How far a commit reaches before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// To the medium, with every commit: a power failure loses nothing that was acknowledged. The default.
    #[default]
    Full,
    /// To the operating system: the last commits may be lost with the power, never with the process. Faster where one
    /// producer commits event by event, as no commit waits for the medium.
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

/// What SQLite can count: milliseconds in 31 bits.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How a [`SqliteStore`] is opened.
///
/// # Default
///
/// - durability: [`Full`](Durability::Full)
/// - busy timeout: 5 seconds
/// - queue bound: 1,024 requests
/// - commits of other processes are noticed within half a second
/// - the machine's clock
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Durability, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::builder(&path)
///     .durability(Durability::Normal)
///     .single_process()
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `.open()`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    /// Unless given, the machine's.
    clock: Option<Arc<dyn Clock>>,
    settings: Settings,
}

/// What a connection of ours is set up with.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The folder of a store of a test: removed when the store and its threads have ended.
    pub(super) temporary: Option<Arc<TemporaryFolder>>,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) queue_bound: usize,
    pub(super) single_process: bool,
    pub(super) statements: Option<StatementCounter>,
    pub(super) on_connect: OnConnect,
}

/// What the application has to do first on each connection of the store's.
#[derive(Clone, Default)]
pub(super) struct OnConnect(Option<Arc<Hook>>);

type Hook = dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync;

impl OnConnect {
    pub(super) fn run(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(conn))
    }
}

/// What it does may hold a key.
impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

impl SqliteStoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            clock: None,
            settings: Settings {
                temporary: None,
                single_process: false,
                durability: Durability::Full,
                busy_timeout: Duration::from_secs(5),
                queue_bound: 1_024,
                statements: None,
                on_connect: OnConnect::default(),
            },
        }
    }

    /// For a database in a folder of its own.
    pub(super) fn temporary() -> Result<Self, StoreError> {
        let folder = TemporaryFolder::create().map_err(|error| {
            let message = "the temporary folder for the database could not be made";
            StoreError::new(StoreErrorKind::CannotOpen, "open", message).with_source(error)
        })?;
        let mut builder = Self::new(&folder.path().join("outbox.db"));
        builder.settings.temporary = Some(Arc::new(folder));
        Ok(builder)
    }

    /// How far a commit reaches before it is acknowledged. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// How long to wait for another connection's lock before an operation fails as
    /// [`Unavailable`](StoreErrorKind::Unavailable). Default: 5 seconds. SQLite counts milliseconds
    /// in 32 bits: what is longer than 24 days is 24 days.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.settings.busy_timeout = timeout.min(LONGEST_BUSY_TIMEOUT);
        self
    }

    /// How many requests may wait for the writer, and for the reader, before callers wait for a
    /// place: at least 1, at most what a channel can hold (2<sup>61</sup> - 1 on 64-bit machines).
    /// Default: 1,024.
    pub fn queue_bound(mut self, bound: usize) -> Self {
        self.settings.queue_bound = bound.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// What must run first on each connection that the store opens, for `PRAGMA key` of an
    /// encrypted file, pragmas of the app's own, and functions or collations that triggers and
    /// indices of the app use. Default: nothing.
    ///
    /// It runs before any statement of the store on the connection that writes and on the one that
    /// reads, and again whenever one is opened anew: after
    /// [`resume`](crate::OutboxRepository::resume), and after a commit that failed for the medium.
    /// What the store sets itself comes afterwards: `journal_mode`, `synchronous`,
    /// `wal_autocheckpoint`, `journal_size_limit`, `temp_store` and the busy timeout. The hook runs
    /// on the store's threads; it must not wait for the store.
    ///
    /// An error of the hook is an error of opening, with the hook's error as its source. Where the
    /// hook gives a wrong key, opening fails as [`NotADatabase`](StoreErrorKind::NotADatabase). The
    /// store keeps no copy of a key beside what the closure holds, and neither
    /// [`count_statements`](Self::count_statements) nor `Debug` shows what the hook does.
    /// Connections that the application opens itself need the same of the application.
    ///
    /// `SQLCipher` is a SQLite of its own, which must be 3.51.3 or newer as any other: with
    /// rusqlite's feature `bundled-sqlcipher` it is from rusqlite 0.40 on. Leave the feature
    /// `bundled` of this crate out with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::SqliteStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// let store = SqliteStore::builder(&path)
    ///     // With SQLCipher: conn.pragma_update(None, "key", &*key)
    ///     .on_connect(|conn| conn.pragma_update(None, "foreign_keys", true))
    ///     .open()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_connect(
        mut self,
        hook: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_connect = OnConnect(Some(Arc::new(hook)));
        self
    }

    /// Says that no other process writes to this file, so that nobody needs to look out for its
    /// commits, and what a process held that was killed is taken up at once by the next, instead of
    /// when its leases end. Events that are enqueued on the application's own connections are
    /// noticed all the same; after other statements of its own on the outbox's tables, as a
    /// `DELETE` that lets the next event of an entity go, call
    /// [`trigger`](crate::Running::trigger). Default: the file's size and time are looked at twice
    /// a second while a processor is idle (no statement runs).
    pub fn single_process(mut self) -> Self {
        self.settings.single_process = true;
        self
    }

    /// What due times and leases are compared with. Default: the machine's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Counts every SQL statement that SQLite starts on the store's connections, for
    /// [`SqliteStore::statements`]. Default: they are not counted.
    pub fn count_statements(mut self) -> Self {
        self.settings.statements = Some(StatementCounter::default());
        self
    }

    /// Opens the database, creating the file and the tables where they are not there.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        let Self {
            path,
            clock,
            settings,
        } = self;
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(StoreError::new(
                StoreErrorKind::InvalidArgument,
                "open",
                "a SqliteStore needs a file that its connections can share; for a test, use `open_in_memory`, or a MemoryStore",
            ));
        }
        let clock = clock.unwrap_or_else(clock::of_this_runtime);
        // A store that is suspended is opened again, in whatever folder the process then is.
        let path: Arc<Path> = std::path::absolute(&path).unwrap_or(path).into();
        let signal = Arc::new(Signal::new());
        let Opened {
            connections,
            threads,
            watch,
        } = threads::open(&path, &settings, &clock, &signal, None).await?;
        Ok(SqliteStore {
            shared: Arc::new(Shared {
                path,
                clock,
                signal,
                watch,
                settings,
                state: Mutex::new(State::Open(connections)),
                threads: Mutex::new(threads),
            }),
        })
    }
}

//! Opens a SQLite store: the builder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::counter::StatementCounter;
use super::in_turn::InTurn;
use super::schema;
use super::settings::{Access, Durability, OnConnect, Settings};
use super::store::{Shared, SqliteStore, State};
use super::temporary::TemporaryFolder;
use super::threads::{self, Opened};

use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::kit::Signal;

/// SQLite counts milliseconds in 31 bits.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// Opens a [`SqliteStore`] with settings other than the defaults.
///
/// # Default
///
/// - durability: [`Full`](Durability::Full)
/// - busy timeout: 5 seconds
/// - queue bound: 1,024 requests
/// - commits of other processes: noticed within about half a second
/// - clock: the machine's
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
///
/// Every setting that has a value, with its default:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Durability, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::builder(&path)
///     .durability(Durability::Full)
///     .busy_timeout(Duration::from_secs(5))
///     .queue_bound(1_024)
///     .migrate(true)
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `.open()`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    /// Default: the machine's clock.
    clock: Option<Arc<dyn Clock>>,
    settings: Settings,
}

impl SqliteStore {
    /// Opens the database at `path`, creating the file and the tables if they do not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`], with the path in its text: `CannotOpen`, `ReadOnly`, `NotADatabase`,
    /// `Corrupt`, `SchemaTooNew`, `Unavailable`. Existing data is never overwritten or removed.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{OutboxRepository, SqliteStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// let store = SqliteStore::open(&path).await?; // the file of the app's own tables
    /// assert_eq!(store.statistics(None).await?.total_events, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// The statements that create the outbox tables, as opening a new file runs them: for review,
    /// and for a migration tool of the application's. A store finds the result as if it had made it
    /// itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::SqliteStore;
    ///
    /// let sql = SqliteStore::migration_sql();
    /// assert!(sql.contains("CREATE TABLE"));
    /// ```
    #[must_use]
    pub fn migration_sql() -> String {
        schema::script()
    }

    /// The version of the outbox tables that this library writes.
    pub const SCHEMA_VERSION: i64 = schema::VERSION;

    /// Opens a store with settings other than the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{OutboxRepository, SqliteStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// let store = SqliteStore::builder(&path).single_process().open().await?;
    /// store.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    /// Opens a database for a test: empty, private to this store, and removed with the last clone.
    ///
    /// It is a file in its own folder below the system's temporary folder, not SQLite's `:memory:`:
    /// an in-memory database has no WAL, and its connections lock each other differently, so a test
    /// would exercise a store unlike the application's. Commits do not wait for the storage device.
    /// [`path`](Self::path) gives its location, for the test's own connections. A process that is
    /// killed leaves the folder behind. For a test that needs no SQL, a
    /// [`MemoryStore`](crate::MemoryStore) is faster.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the temporary folder cannot be written.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open_in_memory().await?;
    /// store
    ///     .transaction(|tx| Ok(tx.execute_batch("CREATE TABLE mood (id BLOB, valence REAL)")?))
    ///     .await?;
    /// assert_eq!(store.statistics(None).await?.total_events, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open_in_memory() -> Result<Self, StoreError> {
        Self::builder_in_memory()?.open().await
    }

    /// The builder of a test database like [`open_in_memory`](Self::open_in_memory), with other
    /// settings, such as a test clock.
    ///
    /// # Errors
    ///
    /// As [`open_in_memory`](Self::open_in_memory).
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::SqliteStore;
    /// use outbox_runtime::store::SystemClock;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // In a test: `outbox_testing::ManualClock`.
    /// let store = SqliteStore::builder_in_memory()?.clock(SystemClock).open().await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder_in_memory() -> Result<SqliteStoreBuilder, StoreError> {
        let builder = SqliteStoreBuilder::temporary()?;
        Ok(builder.durability(Durability::Normal).single_process())
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
                keeps_deliveries: false,
                access: Access::Migrate,
                durability: Durability::Full,
                busy_timeout: Duration::from_secs(5),
                queue_bound: 1_024,
                statements: None,
                on_connect: OnConnect::default(),
            },
        }
    }

    /// Builds a store in a temporary folder of its own.
    pub(super) fn temporary() -> Result<Self, StoreError> {
        let folder = TemporaryFolder::create().map_err(|error| {
            let message = "cannot create the temporary folder for the database";
            StoreError::new(StoreErrorKind::CannotOpen, "open", message).with_source(error)
        })?;
        let mut builder = Self::new(&folder.path().join("outbox.db"));
        builder.settings.temporary = Some(Arc::new(folder));
        Ok(builder)
    }

    /// Sets how far a commit must get before it is acknowledged. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Sets how long an operation waits for another connection's lock before it fails as
    /// [`Unavailable`](StoreErrorKind::Unavailable). Default: 5 seconds. SQLite counts milliseconds
    /// in 32 bits, so anything longer than 24 days counts as 24 days.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.settings.busy_timeout = timeout.min(LONGEST_BUSY_TIMEOUT);
        self
    }

    /// Sets how many requests may queue for the writer, and for the reader, before callers wait for
    /// a place: at least 1, at most the capacity of a channel (`2^61-1` on 64-bit machines).
    /// Default: 1,024.
    pub fn queue_bound(mut self, bound: usize) -> Self {
        self.settings.queue_bound = bound.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets a hook that runs first on each connection that the store opens: for `PRAGMA key` of an
    /// encrypted file, the application's own pragmas, and functions or collations that its triggers
    /// and indexes use. Default: none.
    ///
    /// The hook runs before any statement of the store, on the writing and on the reading
    /// connection, and again whenever one is reopened: after
    /// [`resume`](crate::OutboxRepository::resume), and after a commit that failed because of the
    /// storage device. The store then sets its own pragmas: `journal_mode`, `synchronous`,
    /// `wal_autocheckpoint`, `journal_size_limit`, `temp_store` and the busy timeout. The hook runs
    /// on the store's threads and must not wait for the store. The functions that it registers may
    /// run on a worker thread of a tokio runtime, too: a task that enqueues may commit there.
    ///
    /// If the hook fails, opening fails with the hook's error as its source. If the hook gives a
    /// wrong key, opening fails as [`NotADatabase`](StoreErrorKind::NotADatabase). The store copies
    /// no key out of the closure, and neither [`count_statements`](Self::count_statements) nor
    /// `Debug` shows what the hook does. Connections that the application opens itself need the
    /// same setup from the application.
    ///
    /// `SQLCipher` is a SQLite build of its own and must be 3.51.3 or newer like any other:
    /// rusqlite's feature `bundled-sqlcipher` provides that from rusqlite 0.40 on. Leave out this
    /// crate's feature `bundled` with it.
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

    /// Declares that no other process writes to this file. The store then does not poll for foreign
    /// commits, and the events of a process that was killed are rescued at once by the next process
    /// instead of when their leases end. Events enqueued on the application's own connections are
    /// still noticed. After other statements on the outbox tables, such as a `DELETE` that unblocks
    /// the next event of an entity, call [`trigger`](crate::Running::trigger). Default: while a
    /// processor is idle, the store checks the file's size and time twice a second (no statement
    /// runs).
    pub fn single_process(mut self) -> Self {
        self.settings.single_process = true;
        self
    }

    /// Sets whether opening creates the file and the tables where they are missing, and brings them
    /// to this library's version. Without, opening fails with
    /// [`NotInstalled`](StoreErrorKind::NotInstalled) unless the file has the tables of this
    /// version: for tools, which must not turn another file into an outbox. Default: true.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{SqliteStore, StoreErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch("CREATE TABLE goal (id)")?;
    /// // A file without an outbox stays without one.
    /// let error = SqliteStore::builder(&path).migrate(false).open().await.err();
    /// assert!(error.is_some_and(|error| error.kind() == StoreErrorKind::NotInstalled));
    /// # Ok(())
    /// # }
    /// ```
    pub fn migrate(mut self, migrates: bool) -> Self {
        self.settings.access = match migrates {
            true => Access::Migrate,
            false => Access::Existing,
        };
        self
    }

    /// Opens the file for reading only, without [migrating](Self::migrate) it: calls that would
    /// change something fail with [`ReadOnly`](StoreErrorKind::ReadOnly). Default: reading and
    /// writing.
    ///
    /// A file that no program has open is read as it is, without locks and without leaving a `-wal`
    /// and a `-shm` beside it. If a program opens it meanwhile, later calls fail with
    /// [`Unavailable`](StoreErrorKind::Unavailable): open the store again.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{NewEvent, Operation, OutboxRepository, SqliteStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// # SqliteStore::open(&path).await?.close().await;
    /// let store = SqliteStore::builder(&path).read_only().open().await?; // a tool that only looks
    /// assert_eq!(store.statistics(None).await?.total_events, 0);
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// assert!(store.create_event(event).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_only(mut self) -> Self {
        self.settings.access = Access::ReadOnly;
        self
    }

    /// Sets the clock that due times and leases are compared with. Default: the machine's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::SqliteStore;
    /// # use outbox_runtime::store::SystemClock;
    /// # fn builder() {
    /// SqliteStore::builder("app.db").clock(SystemClock); // the default; a test has its own
    /// # }
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Keeps deliveries in the [history](crate::OutboxRepository::attempts) of events, too, which
    /// takes another write for each. Default: only attempts that were not delivered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::SqliteStore;
    /// # fn builder() {
    /// SqliteStore::builder("app.db").history_of_deliveries();
    /// # }
    /// ```
    pub fn history_of_deliveries(mut self) -> Self {
        self.settings.keeps_deliveries = true;
        self
    }

    /// Counts every SQL statement that SQLite starts on the store's connections, for
    /// [`SqliteStore::statements`]. Default: statements are not counted. See
    /// [`StatementCounter`](crate::store::StatementCounter) for an example.
    pub fn count_statements(mut self) -> Self {
        self.settings.statements = Some(StatementCounter::default());
        self
    }

    /// Opens the database, creating the file and the tables if they do not exist.
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
                "a SqliteStore needs a file that its connections can share; for a test, use `open_in_memory` or a MemoryStore",
            ));
        }
        let clock = clock.unwrap_or_else(clock::of_this_runtime);
        // A suspended store is reopened later, when the working directory may have changed.
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
                files: InTurn::new(threads),
            }),
        })
    }
}

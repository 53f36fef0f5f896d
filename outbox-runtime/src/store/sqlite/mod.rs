//! The SQLite store: one thread that writes, one that reads, and whatever connections the application has.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Savepoint;

use self::builder::Settings;
use self::threads::Connections;
use self::watch::Watch;
use super::kit::Signal;
use crate::clock::Clock;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{BoxError, EnqueueError, StoreError, TransactionError};

mod builder;
mod bury;
mod claiming;
mod connect;
mod count;
mod counter;
mod edit;
mod elders;
mod fault;
mod filter;
mod fold;
mod identity;
mod inbox;
mod insert;
mod lane;
mod leases;
mod own_thread;
mod processes;
mod query;
mod reader;
mod repository;
mod restore;
mod row;
mod savepoint;
mod schema;
mod settling;
mod sinks;
mod statement;
mod taking;
mod tally;
mod temporary;
mod threads;
mod told;
mod triggers;
mod turns;
mod watch;
mod writer;

pub use self::builder::{Durability, SqliteStoreBuilder};
pub use self::counter::StatementCounter;
pub use self::processes::{ProcessState, StoreProcess};
pub use self::sinks::EnqueueFuture;
pub use self::statement::{SqlValue, SqliteInsert};

/// The outbox in a SQLite database: usually the very file that holds the application's own tables, so that an entity and
/// its event are written in one transaction.
///
/// Cloning is cheap; all clones are the same store. Its two threads end when the last clone is gone or
/// [`close`](Self::close) is called.
///
/// # What it does to the file
///
/// It adds tables whose names begin with `outbox_`, sets the journal mode to WAL (a property of the file), and
/// writes with `synchronous = FULL` unless told otherwise. Connections that the application opens itself keep their own
/// pragmas.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, SqliteStore};
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry { #[outbox(entity_id)] id: Uuid, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// # let mood = MoodEntry { id: Uuid::now_v7(), user_id: "user-1".into(), valence: 0.5 };
/// let store = SqliteStore::open(&path).await?;
/// store.transaction(move |tx| {
///     tx.execute_batch("CREATE TABLE IF NOT EXISTS mood (id BLOB PRIMARY KEY, valence REAL)")?;
///     tx.execute("INSERT INTO mood VALUES (?1, ?2)", (mood.id.as_bytes(), mood.valence))?;
///     mood.enqueue_sync().on(tx)?;
///     Ok(())
/// }).await?;
/// assert_eq!(store.statistics(None).await?.pending_count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
    watch: Arc<Watch>,
    settings: Settings,
    /// Read by every call, so never held across a wait.
    state: Mutex<State>,
    /// Held while the store is closed, suspended or opened again, so that these come one after the other: by a thread, never by a
    /// future, which somebody might keep.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Whether the threads are there. They end although clones of the store are about.
enum State {
    Open(Connections),
    Suspended,
    Closed,
}

impl SqliteStore {
    /// Opens the database at `path`, creating the file and the tables where they are not there.
    ///
    /// # Errors
    ///
    /// [`StoreError`], with the path in its text: `CannotOpen`, `ReadOnly`, `NotADatabase`, `Corrupt`, `SchemaTooNew`,
    /// `Unavailable`. Nothing that is there is ever overwritten or removed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Opening with other settings than the default ones.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    /// Opens a database for a test: empty, of nobody else's, and gone with the last clone.
    ///
    /// It is a file in a folder of its own below the system's temporary one, and not SQLite's `:memory:`: a database in
    /// memory has no WAL, and connections that share one lock each other out in other ways than those on a file, so that a test
    /// would try another store than the app has. Commits do not wait for the medium. [`path`](Self::path) tells where it
    /// is, for connections of the test's own; a process that is killed leaves the folder behind. For a test that needs no SQL, a
    /// [`MemoryStore`](crate::MemoryStore) is faster.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the temporary folder cannot be written.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open_in_memory().await?;
    /// store.transaction(|tx| Ok(tx.execute_batch("CREATE TABLE mood (id BLOB, valence REAL)")?)).await?;
    /// assert_eq!(store.statistics(None).await?.total_events, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open_in_memory() -> Result<Self, StoreError> {
        Self::builder_in_memory()?.open().await
    }

    /// Opening such a database with other settings than the default ones, with a clock of the test's for example.
    ///
    /// # Errors
    ///
    /// As [`open_in_memory`](Self::open_in_memory).
    pub fn builder_in_memory() -> Result<SqliteStoreBuilder, StoreError> {
        let builder = SqliteStoreBuilder::temporary()?;
        Ok(builder.durability(Durability::Normal).single_process())
    }

    /// Runs `work` in a transaction, on the store's own connection and thread, and commits if it returns `Ok`.
    ///
    /// The answer of `.on(tx)` is for `?`: `mood.enqueue_create().on(tx)?`. Where the closure returns it as its value,
    /// `Ok(mood.enqueue_create().on(tx))`, an event that was refused rolls the transaction back as well.
    ///
    /// Save the entity and enqueue its event in it: both are there afterwards, or neither. Processors in this
    /// process start on the event as soon as the commit is done.
    ///
    /// Each transaction has a commit of its own, so that whatever one does concerns nobody else. It
    /// begins as `IMMEDIATE`. Any error type works with `?`.
    ///
    /// The connection is the store's, and lent. Inside the closure these are refused, with an error
    /// that says what to do instead: `BEGIN`, `COMMIT` and `ROLLBACK` (`SAVEPOINT`, `RELEASE` and
    /// `ROLLBACK TO` are fine), `ATTACH` and `DETACH`, pragmas that set something for the
    /// connection ([`on_connect`](SqliteStoreBuilder::on_connect) is the place for them), temporary
    /// tables, views and triggers that take the place of the outbox's own, and waiting for the same
    /// store, on whatever handle: that would wait for itself. Pragmas that read are fine, and
    /// `user_version`, `application_id` and `defer_foreign_keys`, which belong to the file or the
    /// transaction. What the closure sets by functions of the driver (`create_scalar_function`,
    /// `set_db_config`) stays on the connection; temporary tables do, too.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Aborted`] with the closure's own error, after it was rolled back;
    /// [`TransactionError::Store`] where the transaction could not begin or commit. A constraint
    /// that is checked at the commit (`DEFERRABLE INITIALLY DEFERRED`) is one of these, of kind
    /// `Other`, and nothing was written then; `NotAllowedHere` for what is refused; `FileReplaced`
    /// where the file is no longer at its path. Only where
    /// [`outcome_unknown`](StoreError::outcome_unknown) says so may it have been committed.
    ///
    /// # Panics
    ///
    /// Where `work` panics, after it was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Once polled the transaction may commit although the future is dropped.
    pub async fn transaction<T, F>(&self, work: F) -> Result<T, TransactionError>
    where
        F: FnOnce(&Savepoint<'_>) -> Result<T, BoxError> + Send + 'static,
        T: Send + 'static,
    {
        let work = move |tx: &Savepoint<'_>| work(tx).and_then(crate::enqueue::unless_refused);
        let path = Arc::clone(&self.shared.path);
        self.connections("transaction")?
            .writer
            .run_alone("transaction", move |conn, effects| {
                effects.wakes = true;
                writer::closure::run(conn, &effects.gate, &path, work)
            })
            .await
    }

    /// Closes the database: what was asked before is done, and no file is open when this returns.
    /// (Inside a [`transaction`](Self::transaction) of the store it returns at once, and the files
    /// are closed after that.)
    ///
    /// Later calls on any clone are answered with [`StoreErrorKind::Closed`](crate::StoreErrorKind::Closed).
    pub async fn close(&self) {
        // It fails only where the store is closed already, and where it closes after what is
        // asking.
        let _ = self.let_go(State::Closed, "close").await;
    }

    /// Ends the threads, once they have done what was asked before.
    async fn let_go(&self, next: State, operation: &'static str) -> Result<(), StoreError> {
        if own_thread::is_writer_of(&self.shared.watch) {
            // Its own end cannot be waited for. The threads end when the transaction that is asking
            // has.
            if matches!(next, State::Closed) {
                self.shared.end(next);
            }
            return Err(own_thread::waiting(operation));
        }
        let shared = Arc::clone(&self.shared);
        threads::apart(move || shared.let_go(next, operation)).await?
    }

    /// Opens the connections again, where they are suspended.
    async fn open_again(&self) -> Result<(), StoreError> {
        if own_thread::is_writer_of(&self.shared.watch) {
            return Err(own_thread::waiting("resume"));
        }
        let shared = Arc::clone(&self.shared);
        threads::apart(move || shared.open_again()).await?
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Counts the SQL statements that the store runs; see [`SqliteStoreBuilder::count_statements`].
    #[must_use]
    pub fn statements(&self) -> StatementCounter {
        self.shared.settings.statements.clone().unwrap_or_default()
    }

    fn connections(&self, operation: &'static str) -> Result<Connections, StoreError> {
        match &*lock(&self.shared.state) {
            State::Open(connections) => Ok(connections.clone()),
            State::Suspended => Err(StoreError::suspended(operation)),
            State::Closed => Err(fault::closed(operation)),
        }
    }

    async fn enqueue(
        self,
        event: Result<NewEvent, EnqueueError>,
    ) -> Result<Enqueued, EnqueueError> {
        let event = event?;
        self.connections("enqueue")?.writer.enqueue(event).await
    }

    async fn enqueue_all(
        self,
        events: Result<Vec<NewEvent>, EnqueueError>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let events = events?;
        let clock = Arc::clone(&self.shared.clock);
        self.connections("enqueue")?
            .writer
            .run("enqueue", move |conn, effects| {
                effects.wakes = true;
                insert::insert_all(conn, clock.as_ref(), events.iter().map(Ok))
            })
            .await
    }
}

impl Shared {
    fn let_go(&self, next: State, operation: &'static str) -> Result<(), StoreError> {
        let threads = &mut *lock(&self.threads);
        let was_closed = self.end(next);
        // Whoever closed it before may not have waited.
        threads::join(std::mem::take(threads));
        if was_closed {
            return Err(fault::closed(operation));
        }
        // Runs that sleep learn that there is nothing to wait for.
        self.signal.raise();
        Ok(())
    }

    /// Has the threads end, once they have done what was asked before. Whether the store was closed
    /// already.
    fn end(&self, next: State) -> bool {
        let state = &mut *lock(&self.state);
        match state {
            State::Closed => return true,
            State::Open(connections) => connections.closing.cancel(),
            State::Suspended => {}
        }
        *state = next;
        false
    }

    fn open_again(&self) -> Result<(), StoreError> {
        let threads = &mut *lock(&self.threads);
        match &*lock(&self.state) {
            State::Open(_) => return Ok(()),
            State::Closed => return Err(fault::closed("resume")),
            State::Suspended => {}
        }
        let Self {
            path,
            settings,
            clock,
            signal,
            watch,
            ..
        } = self;
        let watch = Some(Arc::clone(watch));
        let opened = inbox::block_on(threads::open(path, settings, clock, signal, watch))?;
        *threads = opened.threads;
        *lock(&self.state) = State::Open(opened.connections);
        // Others may have written meanwhile.
        self.signal.raise();
        Ok(())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

/// None of these locks guards anything that a panic could leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

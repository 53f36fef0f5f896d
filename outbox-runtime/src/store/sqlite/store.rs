//! The store: its state, its transactions, and its end.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Savepoint;

use super::counter::StatementCounter;
use super::in_turn::{InTurn, Threads};
use super::lock::lock;
use super::settings::Settings;
use super::threads::{self, Connections};
use super::watch::Watch;
use super::{fault, inbox, insert, own_thread, writer};
use crate::clock::Clock;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{BoxError, EnqueueError, StoreError, TransactionError};
use crate::store::kit::Signal;
use crate::trace::Carried;

/// An outbox in a SQLite database: usually the file that holds the application's own tables, so
/// that an entity and its event are written in one transaction.
///
/// Cloning is cheap; all clones share one store. Its two threads end when the last clone is dropped
/// or [`close`](Self::close) is called.
///
/// The guide: [backup](https://docs.rs/outbox-guide/latest/outbox_guide/backup/).
///
/// # Changes to the file
///
/// The store adds tables whose names begin with `outbox_`, sets the journal mode to WAL (a property
/// of the file), and writes with `synchronous = FULL` unless told otherwise. Connections that the
/// application opens itself keep their own pragmas.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, SqliteStore};
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)] id: Uuid,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] valence: f64,
/// # }
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
    pub(super) shared: Arc<Shared>,
}

/// What the clones of a store share.
pub(super) struct Shared {
    pub(super) path: Arc<Path>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: Arc<Signal>,
    pub(super) watch: Arc<Watch>,
    pub(super) settings: Settings,
    /// Every call takes this lock, so it is never held across a wait.
    pub(super) state: Mutex<State>,
    /// Closes, suspends and reopens the store, one at a time.
    pub(super) files: Arc<InTurn>,
}

/// The state of the threads, which may end while clones of the store exist.
pub(super) enum State {
    Open(Connections),
    Suspended,
    Closed,
}

impl SqliteStore {
    /// Runs `work` in a transaction, on the store's own connection and thread, and commits if it
    /// returns `Ok`.
    ///
    /// Save the entity and enqueue its event in it: afterwards both exist, or neither. Processors
    /// in this process start on the event as soon as the commit is done.
    ///
    /// Propagate the result of `.on(tx)` with `?`: `mood.enqueue_create().on(tx)?`. If the closure
    /// returns it as its value instead, `Ok(mood.enqueue_create().on(tx))`, a refused event rolls
    /// the transaction back as well.
    ///
    /// Each transaction has its own commit, so a failure in one does not affect others. It begins
    /// as `IMMEDIATE`. Any error type works with `?`.
    ///
    /// The closure borrows the store's connection. These are refused, with an error that names the
    /// alternative:
    ///
    /// - `BEGIN`, `COMMIT` and `ROLLBACK` (`SAVEPOINT`, `RELEASE` and `ROLLBACK TO` are allowed)
    /// - `ATTACH` and `DETACH`
    /// - pragmas that change the connection; set them in
    ///   [`on_connect`](crate::store::SqliteStoreBuilder::on_connect)
    /// - temporary tables, views and triggers that shadow the outbox's own
    /// - waiting for the same store, through any handle, which would deadlock
    ///
    /// Pragmas that only read are allowed, and so are `user_version`, `application_id` and
    /// `defer_foreign_keys`, which belong to the file or the transaction. Changes made through
    /// functions of the driver (`create_scalar_function`, `set_db_config`) stay on the connection,
    /// and so do temporary tables.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Aborted`] with the closure's own error, after the rollback;
    /// [`TransactionError::Store`] if the transaction could not begin or commit: of kind `Other`
    /// for a constraint that is checked at the commit (`DEFERRABLE INITIALLY DEFERRED`), after
    /// which nothing is written; `NotAllowedHere` for a refused statement; `FileReplaced` if the
    /// file is no longer at its path. The transaction may have been committed only if
    /// [`outcome_unknown`](StoreError::outcome_unknown) says so.
    ///
    /// # Panics
    ///
    /// If `work` panics, after the rollback.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the transaction may commit even if the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{prelude::*, SqliteStore};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = SqliteStore::open_in_memory().await?;
    /// # store.transaction(|tx| Ok(tx.execute_batch("CREATE TABLE goal (id INTEGER, title TEXT)")?)).await?;
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let enqueued = store
    ///     .transaction(move |tx| {
    ///         tx.execute("INSERT INTO goal VALUES (?1, ?2)", (goal.id, &goal.title))?;
    ///         Ok(goal.enqueue_create().on(tx)?)
    ///     })
    ///     .await?;
    /// println!("saved; to be sent as {}", enqueued.event_id());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction<T, F>(&self, work: F) -> Result<T, TransactionError>
    where
        F: FnOnce(&Savepoint<'_>) -> Result<T, BoxError> + Send + 'static,
        T: Send + 'static,
    {
        // The caller's span enqueues, although the writer's thread runs the closure.
        let span = Carried::current();
        let work = move |tx: &Savepoint<'_>| {
            let _current = span.attach();
            work(tx).and_then(crate::enqueue::unless_refused)
        };
        let path = Arc::clone(&self.shared.path);
        self.connections("transaction")?
            .writer
            .run_alone("transaction", move |conn, effects| {
                effects.wakes = true;
                writer::closure::run(conn, &effects.gate, &path, work)
            })
            .await
    }

    /// Closes the database: earlier requests are completed, and no file is open when this returns.
    /// (Inside a [`transaction`](Self::transaction) of the store it returns at once, and the files
    /// are closed after that transaction.)
    ///
    /// Later calls on any clone fail with
    /// [`StoreErrorKind::Closed`](crate::StoreErrorKind::Closed).
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{OutboxRepository, SqliteStore, StoreErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open_in_memory().await?;
    /// store.close().await; // stop the runs on it first
    /// let error = store.statistics(None).await.err();
    /// assert!(error.is_some_and(|error| error.kind() == StoreErrorKind::Closed));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        // Fails only if the store is closed already, or if the calling transaction must end first.
        let _ = self.let_go(State::Closed, "close").await;
    }

    /// Ends the threads after they have completed earlier requests.
    pub(super) async fn let_go(
        &self,
        next: State,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        if own_thread::is_writer_of(&self.shared.watch) {
            // The writer cannot wait for its own end. The threads end after the calling
            // transaction.
            if matches!(next, State::Closed) {
                self.shared.end(next);
            }
            return Err(own_thread::would_deadlock(operation));
        }
        let shared = Arc::clone(&self.shared);
        let files = Arc::clone(&shared.files);
        let let_go = move |threads: &mut Threads| shared.let_go(threads, next, operation);
        files.run(let_go).await?
    }

    /// Reopens the connections of a suspended store.
    pub(super) async fn open_again(&self) -> Result<(), StoreError> {
        if own_thread::is_writer_of(&self.shared.watch) {
            return Err(own_thread::would_deadlock("resume"));
        }
        let shared = Arc::clone(&self.shared);
        let files = Arc::clone(&shared.files);
        files.run(move |threads| shared.open_again(threads)).await?
    }

    /// The path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The counter of the store's SQL statements; see
    /// [`SqliteStoreBuilder::count_statements`](crate::store::SqliteStoreBuilder::count_statements).
    /// See [`StatementCounter`] for an example.
    #[must_use]
    pub fn statements(&self) -> StatementCounter {
        self.shared.settings.statements.clone().unwrap_or_default()
    }

    pub(super) fn connections(&self, operation: &'static str) -> Result<Connections, StoreError> {
        match &*lock(&self.shared.state) {
            State::Open(connections) => Ok(connections.clone()),
            State::Suspended => Err(StoreError::suspended(operation)),
            State::Closed => Err(fault::closed(operation)),
        }
    }

    pub(super) async fn enqueue(
        self,
        event: Result<NewEvent, EnqueueError>,
    ) -> Result<Enqueued, EnqueueError> {
        let event = event?;
        self.connections("enqueue")?.writer.enqueue(event).await
    }

    pub(super) async fn enqueue_all(
        self,
        events: Result<Vec<NewEvent>, EnqueueError>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let events = events?;
        let clock = Arc::clone(&self.shared.clock);
        self.connections("enqueue")?
            .writer
            .run("enqueue", move |conn, effects| {
                effects.wakes = true;
                insert::insert_batch(conn, clock.as_ref(), &events)
            })
            .await
    }
}

impl Shared {
    fn let_go(
        &self,
        threads: &mut Threads,
        next: State,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        let was_closed = self.end(next);
        // An earlier caller of `close` may not have waited.
        threads::join(std::mem::take(threads));
        if was_closed {
            return Err(fault::closed(operation));
        }
        // Wakes sleeping runs, which then notice the closed or suspended store.
        self.signal.raise();
        Ok(())
    }

    /// Ends the threads after they have completed earlier requests. Returns whether the store was
    /// closed already.
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

    fn open_again(&self, threads: &mut Threads) -> Result<(), StoreError> {
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
        // Other connections may have written meanwhile.
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

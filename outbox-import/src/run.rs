//! The import: every row of every table, in one transaction, or in several of bounded size. Each is
//! verified before it commits.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::copy::is_one_file;
use super::error::ImportError;
use super::hash::{self, Hash};
use super::mapper::RowMapper;
use super::mapping::Mapping;
use super::progress::{ImportProgress, OnProgress};
use super::report::ImportReport;
use super::source::Source;
use super::table::SourceTable;
use super::work::{DryRun, Plan, Step, Work};
use outbox_runtime::store::OutboxQueue as _;
use outbox_runtime::{OutboxEvent, SqliteStore, StoreError, StoreErrorKind, TransactionError};

/// An import: the source, the tables, and the options. The [crate's documentation](crate) describes
/// what it does.
///
/// The guide: [importing](https://docs.rs/outbox-guide/latest/outbox_guide/importing/).
///
/// # Default
///
/// - no tables; at least one is required
/// - the import commits, all of it in one transaction
/// - the copy goes to the system's temporary folder
///
/// # Examples
///
/// A look at what an import would do, and the import itself, for an app whose users change files
/// with the account:
///
/// ```
/// # use outbox_import::{Import, Mapped, Source, SourceRow, SourceTable};
/// # use outbox_runtime::{OutboxRepository, SqliteStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE goals (id INTEGER PRIMARY KEY, user);
/// #      INSERT INTO goals VALUES (1, 'ann'), (2, 'ben')")?;
/// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// # let map = |row: &SourceRow, _: &Source| {
/// #     let event = outbox_runtime::NewEvent::new(
/// #         "goal", row.key(), row.text("user")?, outbox_runtime::Operation::Create);
/// #     Ok(outbox_import::ImportedEvent::new(event, chrono::DateTime::UNIX_EPOCH).into())
/// # };
/// let import = || {
///     Import::new(&path)
///         .table(SourceTable::plain("goals"))
///         .source_name("account 17")
///         // On the disk that has room for a copy.
///         .copy_into(folder.path())
/// };
/// let expected = import().dry_run().run(&store, map).await?;
/// assert_eq!((expected.migrated(), expected.rejected()), (2, 0));
/// assert_eq!(store.statistics(None).await?.pending_count, 0);
///
/// let report = import().run(&store, map).await?;
/// assert_eq!(report.migrated(), 2);
/// assert_eq!(store.statistics(None).await?.pending_count, 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "call `.run(..)`"]
pub struct Import {
    path: PathBuf,
    tables: Vec<SourceTable>,
    identity: Option<String>,
    copy_into: Option<PathBuf>,
    is_dry_run: bool,
    rows_at_once: Option<usize>,
    known: HashMap<Hash, bool>,
    progress: Option<OnProgress>,
}

impl Import {
    /// Creates an import from the store at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            tables: Vec::new(),
            identity: None,
            copy_into: None,
            is_dry_run: false,
            rows_at_once: None,
            known: HashMap::new(),
            progress: None,
        }
    }

    /// Adds a table. Several tables are imported in this order. Default: none, which
    /// [`run`](Self::run) refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::{Import, SourceTable};
    ///
    /// // The creations before the changes of what they create.
    /// let import = Import::new("default.store")
    ///     .table(SourceTable::entity("NewGoal").ordered_by("createdAt"))
    ///     .table(SourceTable::entity("GoalChange").ordered_by("createdAt"));
    /// ```
    pub fn table(mut self, table: SourceTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Runs the whole import in one transaction, verifies it, and rolls it back. The report is that
    /// of a real import. Default: the import commits.
    pub fn dry_run(mut self) -> Self {
        self.is_dry_run = true;
        self
    }

    /// Sets the name that identifies the source in later imports. Default: [`Source::identity`].
    ///
    /// Set it for a file without a Core Data UUID that may move between imports. Stores that share
    /// a UUID, such as those made from one template, are told apart by their rows: a store with
    /// other rows under the same keys is another source. Set a name if the rows cannot tell them
    /// apart, because all rows come from the template or have neither an id nor a creation time.
    pub fn source_name(mut self, name: impl Into<String>) -> Self {
        self.identity = Some(name.into());
        self
    }

    /// Sets the folder in which the copy's own folder is created. It needs room for the source.
    /// Default: the system's temporary folder.
    pub fn copy_into(mut self, folder: impl AsRef<Path>) -> Self {
        self.copy_into = Some(folder.as_ref().to_owned());
        self
    }

    /// Commits after this many rows, at least one, so that other writers of the store wait for one
    /// such part at most. Each part is verified, and has its own rows in `outbox_import_runs`.
    ///
    /// If an error or a crash ends the import, the parts before it stay, and the next run goes on
    /// after them. Default: one transaction for all rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{Import, Mapped, Source, SourceRow, SourceTable};
    /// # use outbox_runtime::{OutboxRepository, SqliteStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE goals (id INTEGER PRIMARY KEY, user);
    /// #      INSERT INTO goals VALUES (1, 'ann'), (2, 'ben')")?;
    /// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
    /// # let map = |row: &SourceRow, _: &Source| {
    /// #     let event = outbox_runtime::NewEvent::new(
    /// #         "goal", row.key(), row.text("user")?, outbox_runtime::Operation::Create);
    /// #     Ok(outbox_import::ImportedEvent::new(event, chrono::DateTime::UNIX_EPOCH).into())
    /// # };
    /// let import = Import::new(&path).table(SourceTable::plain("goals"));
    /// // The app saves meanwhile, and waits for the writing of 500 rows at most.
    /// let report = import.rows_per_transaction(500).run(&store, map).await?;
    /// assert_eq!(report.migrated(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rows_per_transaction(mut self, rows: usize) -> Self {
        self.rows_at_once = Some(rows.max(1));
        self
    }

    /// Sets a callback that runs every 100 rows and after the last one, on the store's thread. See
    /// [`ImportProgress`] for an example. Default: none.
    pub fn on_progress(mut self, progress: impl FnMut(&ImportProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Takes these events for ones that the store has: with this content, or with other content
    /// under their ids. Part of the command, which imports into a store of its own and moves the
    /// events from there to a server.
    #[doc(hidden)]
    pub fn known(mut self, events: impl IntoIterator<Item = (OutboxEvent, bool)>) -> Self {
        let events = events.into_iter();
        let known = events.map(|(event, is_same)| (hash::content(&event), is_same));
        self.known.extend(known);
        self
    }

    /// Runs the import and, once it is committed, returns the report.
    ///
    /// Running it again is harmless, even after an error or a crash: rows that were taken are
    /// recognized and left alone, rows that were rejected are tried again.
    ///
    /// Other writers of the store wait while the import runs, or while
    /// [a part of it](Self::rows_per_transaction) does.
    ///
    /// # Errors
    ///
    /// [`ImportError`]. Nothing was written, except by parts that were committed before.
    ///
    /// # Panics
    ///
    /// If the mapper panics, after its transaction was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the transaction in progress may commit even if the future is dropped.
    pub async fn run(
        self,
        store: &SqliteStore,
        mapper: impl RowMapper,
    ) -> Result<ImportReport, ImportError> {
        if self.tables.is_empty() {
            return Err(ImportError::NoTable { path: self.path });
        }
        if is_one_file(&self.path, store.path()) {
            return Err(ImportError::SourceIsDestination { path: self.path });
        }
        let (path, copy_into) = (self.path.clone(), self.copy_into.clone());
        let source = on_a_thread(move || Source::open_in(path, copy_into.as_deref())).await??;
        let plan = Plan {
            tables: self.tables,
            identity: self.identity,
            is_dry_run: self.is_dry_run,
            rows_at_once: self.rows_at_once,
            known: self.known,
            progress: self.progress,
        };
        let mut work = Work::new(plan, source, store.clock().now(), mapper);
        loop {
            let done = store.transaction(move |conn| work.step(conn)).await;
            match done {
                Ok(Step::Ended(report)) => return Ok(report),
                Ok(Step::More(more)) => work = *more,
                Err(error) => return ended_with(error),
            }
        }
    }

    /// Runs the import with the tables and the rules of a mapping file. See [`Mapping`] for an
    /// example.
    ///
    /// # Errors
    ///
    /// Like [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// Like [`run`](Self::run).
    pub async fn run_mapping(
        mut self,
        store: &SqliteStore,
        mapping: Mapping,
    ) -> Result<ImportReport, ImportError> {
        self.tables.extend(mapping.tables().iter().cloned());
        self.run(store, mapping).await
    }
}

fn ended_with(error: TransactionError) -> Result<ImportReport, ImportError> {
    let at = "the import".to_owned();
    match error {
        TransactionError::Store(error) => Err(error.into()),
        TransactionError::Aborted(error) => match error.downcast::<DryRun>() {
            Ok(dry_run) => Ok(dry_run.0),
            Err(error) => Err(match error.downcast::<ImportError>() {
                Ok(error) => *error,
                Err(source) => ImportError::Mapper { at, source },
            }),
        },
        error => Err(ImportError::Mapper {
            at,
            source: error.into(),
        }),
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("path", &self.path)
            .field("tables", &self.tables)
            .field("is_dry_run", &self.is_dry_run)
            .finish_non_exhaustive()
    }
}

/// Runs blocking work on its own thread: copying would block an async task.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (done, ended) = oneshot::channel();
    let failed = |message: &str| StoreError::new(StoreErrorKind::Unavailable, "import", message);
    std::thread::Builder::new()
        .name("outbox-import".to_owned())
        .spawn(move || drop(done.send(work())))
        .map_err(|error| {
            failed("cannot start the thread that copies the source").with_source(error)
        })?;
    ended
        .await
        .map_err(|_| failed("the thread that copies the source ended early"))
}

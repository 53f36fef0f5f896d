//! The import: every row of every table, in one transaction that is verified before it commits.

use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::copy::is_one_file;
use super::error::ImportError;
use super::identity;
use super::ledger;
use super::mapper::RowMapper;
use super::progress::{ImportProgress, OnProgress};
use super::report::ImportReport;
use super::rows::Importing;
use super::source::Source;
use super::table::SourceTable;
use outbox_runtime::store::{BoxError, OutboxQueue as _};
use outbox_runtime::{SqliteStore, StoreError, StoreErrorKind, TransactionError};

/// An import: the source, the tables, and the options. The [crate's documentation](crate) describes
/// what it does.
///
/// # Default
///
/// - no tables; at least one is required
/// - the import commits
/// - the copy goes to the system's temporary folder
#[must_use = "call `.run(..)`"]
pub struct Import {
    path: PathBuf,
    tables: Vec<SourceTable>,
    identity: Option<String>,
    copy_into: Option<PathBuf>,
    is_dry_run: bool,
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
            progress: None,
        }
    }

    /// Adds a table. Several tables are imported in this order, in one transaction.
    pub fn table(mut self, table: SourceTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Runs the whole import, verifies it, and rolls it back. The report is that of a real import.
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
    pub fn copy_into(mut self, folder: impl AsRef<Path>) -> Self {
        self.copy_into = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets a callback that runs every 100 rows and after the last one, on the store's thread.
    pub fn on_progress(mut self, progress: impl FnMut(&ImportProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Runs the import and, once it is committed, returns the report.
    ///
    /// Running it again is harmless, even after an error or a crash: rows that were taken are
    /// recognized and left alone, rows that were rejected are tried again.
    ///
    /// Other writers of the store wait while the import runs.
    ///
    /// # Errors
    ///
    /// [`ImportError`]. Nothing was written.
    ///
    /// # Panics
    ///
    /// If the mapper panics, after everything was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the import may commit even if the future is dropped.
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
        let now = store.clock().now();
        let done = store
            .transaction(move |conn| self.write(&source, conn, now, mapper))
            .await;
        match done {
            Ok(report) => Ok(report),
            Err(TransactionError::Store(error)) => Err(error.into()),
            Err(TransactionError::Aborted(error)) => match error.downcast::<DryRun>() {
                Ok(dry_run) => Ok(dry_run.0),
                Err(error) => Err(match error.downcast::<ImportError>() {
                    Ok(error) => *error,
                    Err(source) => ImportError::Mapper {
                        at: "the import".to_owned(),
                        source,
                    },
                }),
            },
            Err(error) => Err(ImportError::Mapper {
                at: "the import".to_owned(),
                source: error.into(),
            }),
        }
    }

    fn write(
        mut self,
        source: &Source,
        conn: &Connection,
        now: DateTime<Utc>,
        mut mapper: impl RowMapper,
    ) -> Result<ImportReport, BoxError> {
        let tables = std::mem::take(&mut self.tables);
        // Fails on unreadable tables before anything is written.
        let counts = tables.iter().map(|table| source.count(table));
        let counts: Vec<u64> = counts.collect::<Result<_, ImportError>>()?;
        ledger::install(conn)?;
        let ended = |at: &str| {
            let at = at.to_owned();
            move |source| ImportError::Mapper { at, source }
        };
        mapper
            .begin(source, conn)
            .map_err(ended("before the first row"))?;
        let identity = match &self.identity {
            Some(name) => name.clone(),
            None => identity::known_as(conn, source, &tables)?,
        };
        let mut import = Importing {
            source,
            identity: &identity,
            conn,
            now,
            mapper: &mut mapper,
            progress: self.progress.take(),
            so_far: 0,
            total: counts.iter().sum(),
        };
        let mut tables_done = Vec::new();
        let mut runs = Vec::new();
        for (table, count) in tables.iter().zip(counts) {
            let (run, sums, report) = import.table(table, count)?;
            runs.push((run, sums));
            tables_done.push(report);
        }
        import
            .mapper
            .finish(source, conn)
            .map_err(ended("after the last row"))?;
        for ((run, sums), report) in runs.iter().zip(&tables_done) {
            run.finish(report).map_err(ImportError::from)?;
            sums.verify(conn, run, report)?;
        }
        let report = ImportReport {
            source: source.path().to_owned(),
            is_dry_run: self.is_dry_run,
            tables: tables_done,
        };
        if self.is_dry_run {
            return Err(Box::new(DryRun(report)));
        }
        Ok(report)
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

/// Rolls back a transaction that succeeded.
#[derive(Debug)]
struct DryRun(ImportReport);

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dry run is rolled back")
    }
}

impl std::error::Error for DryRun {}

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

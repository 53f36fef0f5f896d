//! The import itself: every row of every table, in one transaction that is verified before it commits.

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
use super::report::ImportReport;
use super::rows::Importing;
use super::source::Source;
use super::table::SourceTable;
use outbox_runtime::SqliteStore;
use outbox_runtime::store::BoxError;
use outbox_runtime::store::OutboxQueue as _;
use outbox_runtime::{StoreError, StoreErrorKind, TransactionError};

/// An import: from where, which tables, and how. See the [module](super) for what it does.
///
/// # Default
///
/// - no table: at least one is needed
/// - it commits
/// - the copy is made below the system's temporary folder
#[must_use = "call `.run(..)`"]
pub struct Import {
    path: PathBuf,
    tables: Vec<SourceTable>,
    identity: Option<String>,
    copy_into: Option<PathBuf>,
    is_dry_run: bool,
    progress: Option<OnProgress>,
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// The table that is being read, by the name that it was given.
    pub table: String,
    /// How many rows were read, of all tables together.
    pub read: u64,
    /// How many there are.
    pub total: u64,
}

pub(super) type OnProgress = Box<dyn FnMut(&ImportProgress) + Send>;

impl Import {
    /// An import from the store at `path`.
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

    /// A table to import. Several are imported one after the other, in this order, in one transaction.
    pub fn table(mut self, table: SourceTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Does everything, verifies it, and rolls it back: the report is that of the import that could be made.
    pub fn dry_run(mut self) -> Self {
        self.is_dry_run = true;
        self
    }

    /// Under which name the source is known when it is imported again. Default: [`Source::identity`].
    ///
    /// Needed for a file without a Core Data UUID that will have moved by then. Of stores that share a UUID, as those made from one
    /// template do, those with other rows under a key are other sources; where their rows do not tell them apart (all are the
    /// template's, or they have neither an id nor a time of creation), a name does.
    pub fn source_name(mut self, name: impl Into<String>) -> Self {
        self.identity = Some(name.into());
        self
    }

    /// In which folder the copy's own folder is made: one with room for the source.
    pub fn copy_into(mut self, folder: impl AsRef<Path>) -> Self {
        self.copy_into = Some(folder.as_ref().to_owned());
        self
    }

    /// Called every 100 rows and after the last, on the store's thread.
    pub fn on_progress(mut self, progress: impl FnMut(&ImportProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Imports, and returns what became of the rows once that is committed.
    ///
    /// Running it again is harmless, also after an error or a crash: what was taken is known and left alone, what was rejected is
    /// tried again.
    ///
    /// Other writers of the store wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`ImportError`]. Nothing was written then.
    ///
    /// # Panics
    ///
    /// Where the mapper panics, after everything was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Once polled the import may commit although the future is dropped.
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
        // Whether all of it can be read is known before anything is written.
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

/// Rolls a transaction back that went well.
#[derive(Debug)]
struct DryRun(ImportReport);

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dry run is rolled back")
    }
}

impl std::error::Error for DryRun {}

/// Copying blocks, which a task must not.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (done, ended) = oneshot::channel();
    let failed = |message: &str| StoreError::new(StoreErrorKind::Unavailable, "import", message);
    std::thread::Builder::new()
        .name("outbox-import".to_owned())
        .spawn(move || drop(done.send(work())))
        .map_err(|error| {
            failed("the thread that copies could not be started").with_source(error)
        })?;
    ended
        .await
        .map_err(|_| failed("the thread that copies has ended"))
}

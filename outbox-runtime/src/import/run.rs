//! The import itself: every row of every table, in one transaction that is verified before it commits.

use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::copy::is_one_file;
use super::error::ImportError;
use super::hash::{self, Hash, Sum};
use super::ledger::{self, Run, Taken};
use super::mapper::{ImportedEvent, Mapped, Reject, RejectReason, Rejected, RowMapper};
use super::report::{ImportReport, TableReport};
use super::row::SourceRow;
use super::source::Source;
use super::table::SourceTable;
use super::verify::{Sums, check, with_payload};
use crate::SqliteStore;
use crate::error::{BoxError, EnqueueError, StoreError, StoreErrorKind, TransactionError};
use crate::repository::OutboxRepository;

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

type OnProgress = Box<dyn FnMut(&ImportProgress) + Send>;

/// So often progress is told, in rows.
const PROGRESS_EVERY: u64 = 100;

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
    /// Needed for a file without a Core Data UUID that will have moved by then.
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
        let mut import = Importing {
            source,
            identity: self.identity.as_deref().unwrap_or(source.identity()),
            conn,
            now,
            mapper: &mut mapper,
            progress: self.progress.take(),
            so_far: 0,
            total: counts.iter().sum(),
            first_run: None,
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

/// An import under way.
struct Importing<'i, M> {
    source: &'i Source,
    identity: &'i str,
    conn: &'i Connection,
    now: DateTime<Utc>,
    mapper: &'i mut M,
    progress: Option<OnProgress>,
    so_far: u64,
    total: u64,
    /// The first run of this import: what a run from there on wrote is of the same import.
    first_run: Option<i64>,
}

/// What became of one row.
enum Fate {
    /// It became an event of this type, with this checksum.
    Event(String, Hash),
    Entity,
    AlreadyThere,
    AlreadyDelivered,
}

impl<'i, M: RowMapper> Importing<'i, M> {
    fn table(
        &mut self,
        table: &SourceTable,
        count: u64,
    ) -> Result<(Run<'i>, Sums, TableReport), ImportError> {
        let run = Run::begin(
            self.conn,
            self.now,
            self.source,
            self.identity,
            table.name(),
        )?;
        self.first_run.get_or_insert(run.run);
        let mut report = TableReport {
            table: table.name().to_owned(),
            ..TableReport::default()
        };
        let mut sums = Sums::default();
        let mut read = Sum::default();
        let source = self.source;
        source.for_each(table, |row| {
            let hash = row.hash();
            read.add(hash);
            report.read += 1;
            if run.knows(&row, hash)? {
                report.already_there += 1;
            } else {
                self.row(&run, &row, hash, &mut sums, &mut report)?;
            }
            self.tell(table, report.read == count);
            Ok::<(), ImportError>(())
        })?;
        report.checksum = read.total;
        check(table.name(), "the count of rows read", &count, &report.read)?;
        check(
            table.name(),
            "the sum of what became of the rows",
            &report.read,
            &report.accounted(),
        )?;
        Ok((run, sums, report))
    }

    /// Maps and writes a row, or puts it aside.
    fn row(
        &mut self,
        run: &Run<'_>,
        row: &SourceRow,
        hash: Hash,
        sums: &mut Sums,
        report: &mut TableReport,
    ) -> Result<(), ImportError> {
        self.conn
            .prepare_cached("SAVEPOINT outbox_import_row")?
            .execute([])?;
        let fate = self.take(run, row, hash);
        if fate.is_err() {
            self.conn
                .prepare_cached("ROLLBACK TO outbox_import_row")?
                .execute([])?;
        }
        self.conn
            .prepare_cached("RELEASE outbox_import_row")?
            .execute([])?;
        match fate {
            Ok(fate) => {
                sums.taken.add(hash);
                match fate {
                    Fate::Event(event_type, written) => {
                        sums.events.add(written);
                        *report.migrated.entry(event_type).or_default() += 1;
                    }
                    Fate::Entity => {
                        *report.migrated.entry(row.table().to_owned()).or_default() += 1;
                    }
                    Fate::AlreadyThere => report.already_there += 1,
                    Fate::AlreadyDelivered => report.already_delivered += 1,
                }
            }
            Err(Reject(Rejected::Row { reason, detail })) => {
                let raw = row.to_json().to_string();
                run.reject(row, hash, &reason, &detail, &raw)?;
                sums.rejected.add(hash.with(Hash::of_bytes(raw.as_bytes())));
                *report.rejected.entry(reason.to_string()).or_default() += 1;
            }
            Err(Reject(Rejected::Import(error))) => return Err(*error),
            Err(Reject(Rejected::Fatal(source))) => {
                let at = format!("row {} of {}", row.key(), row.table());
                return Err(ImportError::Mapper { at, source });
            }
        }
        Ok(())
    }

    fn take(&mut self, run: &Run<'_>, row: &SourceRow, hash: Hash) -> Result<Fate, Reject> {
        let mapped = self.mapper.map(row, self.source)?;
        let fate = match &mapped {
            Mapped::Event(event) => match self.event(run, row, hash, event)? {
                Some(written) => Fate::Event(event.event().event_type().to_owned(), written),
                None => return Ok(Fate::AlreadyThere),
            },
            Mapped::Entity => {
                run.take(row, hash, &Taken::Entity)?;
                Fate::Entity
            }
            Mapped::AlreadyDelivered => {
                run.take(row, hash, &Taken::Delivered)?;
                return Ok(Fate::AlreadyDelivered);
            }
        };
        self.mapper.write(row, &mapped, self.conn)?;
        Ok(fate)
    }

    /// Writes the event, unless it is there. Its checksum, where it was written.
    fn event(
        &self,
        run: &Run<'_>,
        row: &SourceRow,
        hash: Hash,
        event: &ImportedEvent,
    ) -> Result<Option<Hash>, Reject> {
        let stored = event.row()?;
        let id = stored.id;
        let (content, written) = (hash::content(&stored), hash::written(&stored));
        let is_there = match run.imported(id)? {
            // Of the same source, so that both rows tell how far the event came.
            Some(first) if Some(first.run) >= self.first_run => {
                if first.written != written {
                    let detail = "an earlier row has the same id, and other content or another state; that one was taken";
                    return Err(Reject::new(RejectReason::DuplicateId, detail));
                }
                true
            }
            // It may have been delivered since, and cleaned up.
            Some(first) => {
                if first.content != content {
                    let detail = "an earlier import took an event with this id and other content";
                    return Err(Reject::new(RejectReason::DuplicateId, detail));
                }
                true
            }
            None => !SqliteStore::restore(self.conn, self.now, event.event(), &stored)
                .map_err(refused)?,
        };
        if is_there {
            run.take(row, hash, &Taken::Duplicate { id })?;
            return Ok(None);
        }
        let raw_payload = event.payload();
        let taken = Taken::Event {
            id,
            content,
            written,
            raw_payload,
        };
        run.take(row, hash, &taken)?;
        Ok(Some(with_payload(written, raw_payload)))
    }

    fn tell(&mut self, table: &SourceTable, is_last: bool) {
        self.so_far += 1;
        let Some(progress) = &mut self.progress else {
            return;
        };
        if is_last || self.so_far.is_multiple_of(PROGRESS_EVERY) {
            progress(&ImportProgress {
                table: table.name().to_owned(),
                read: self.so_far,
                total: self.total,
            });
        }
    }
}

fn refused(error: EnqueueError) -> Reject {
    match error {
        EnqueueError::Store(error) => Reject::from(ImportError::from(error)),
        EnqueueError::Conflict { .. } => Reject::new(
            RejectReason::DuplicateId,
            "the outbox has an event with this id and other content",
        ),
        EnqueueError::Invalid { field, reason, .. } => {
            let field = field.into();
            Reject::new(RejectReason::Invalid { field }, reason)
        }
        other => Reject::fatal(other),
    }
}

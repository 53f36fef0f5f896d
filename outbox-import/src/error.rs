//! Import errors. Whatever the error, nothing was written and the source is unchanged.

use std::path::PathBuf;

use thiserror::Error;

use outbox_runtime::StoreError;
use outbox_runtime::store::BoxError;

/// The import failed. Nothing was written and the source is unchanged, unless the store's error
/// says that its [outcome is unknown](StoreError::outcome_unknown): running the import again
/// settles that.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use outbox_import::{ImportError, Source};
///
/// /// The store of the old program, if it was ever used here.
/// fn old_store(path: &Path) -> Result<Option<Source>, ImportError> {
///     match Source::open(path) {
///         Ok(source) => Ok(Some(source)),
///         Err(ImportError::SourceMissing { .. }) => Ok(None),
///         // A damaged or changing file is no reason to go on without it.
///         Err(error) => Err(error),
///     }
/// }
///
/// assert!(old_store(Path::new("nowhere/default.store"))?.is_none());
/// # Ok::<(), ImportError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The path has no file. None was created.
    #[error("{}: there is no such file; give the path of an existing store (nothing was created)", path.display())]
    SourceMissing {
        /// The path that was searched.
        path: PathBuf,
    },
    /// The file is empty: it never was a store, or its content was lost.
    #[error(
        "{}: the file is empty; check that the path is right and that the whole file was copied \
         (nothing was imported)",
        path.display()
    )]
    SourceEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or copied.
    #[error("{}: cannot copy the source", path.display())]
    CannotCopy {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file changed during every attempt to copy it.
    #[error("{}: the file is being written to; close the application that has it open, and run the import again", path.display())]
    SourceChanging {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a SQLite database.
    #[error("{}: not a SQLite database; give the path of the store itself (the file was not changed)", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged, so reading it might miss rows.
    #[error(
        "{}: the database is damaged ({finding}); recover it or import a backup (the file was not changed)",
        path.display()
    )]
    SourceDamaged {
        /// The file.
        path: PathBuf,
        /// The first fault that SQLite reported.
        finding: String,
    },
    /// The source and the destination are the same file.
    #[error("{}: the source is the file of the outbox itself; import from another file", path.display())]
    SourceIsDestination {
        /// The file.
        path: PathBuf,
    },
    /// The table does not exist. A missing table does not count as empty: the file may be the wrong
    /// one.
    #[error(
        "{}: no table {table} (tables: {}); check the file and the name",
        path.display(), list(there)
    )]
    TableMissing {
        /// The file.
        path: PathBuf,
        /// The table that was searched.
        table: String,
        /// The tables that exist.
        there: Vec<String>,
    },
    /// A required column does not exist.
    #[error(
        "{}: table {table} has no column {column} (columns: {}); this import does not read its layout",
        path.display(), list(there)
    )]
    ColumnMissing {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The column that was searched.
        column: String,
        /// The columns that exist.
        there: Vec<String>,
    },
    /// Several entities share a table, and one entity's rows have values in several columns that
    /// could hold the attribute.
    #[error(
        "{}: {attribute} of {entity} could be any of the columns {} of {table}: the entity's rows have values in all \
         of them; name the column instead of the attribute",
        path.display(), list(columns)
    )]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The entity.
        entity: String,
        /// The attribute that was searched.
        attribute: String,
        /// The columns that could hold it.
        columns: Vec<String>,
    },
    /// The column to order by is NULL in every row, so the order would be lost.
    #[error(
        "{}: {column} is NULL in all {rows} rows of {table} and orders nothing; \
         order by the column with the creation time, or by none",
        path.display()
    )]
    EmptyOrder {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The column to order by.
        column: String,
        /// The number of rows.
        rows: u64,
    },
    /// The table has a column that only a newer layout has.
    #[error(
        "{}: table {table} has the column {column} of a newer layout, which this import does not read; update the program",
        path.display()
    )]
    NewerLayout {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The column that only the newer layout has.
        column: String,
    },
    /// The table's rows have no rowid to identify them: it is a view or a `WITHOUT ROWID` table.
    #[error("{}: the rows of {table} have no rowid to identify them; copy them into an ordinary table first", path.display())]
    NoRowid {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// The import names no table: it would do nothing and report success.
    #[error("the import of {} names no table; add `.table(..)`", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// The verification found a count or checksum that differs. Everything was rolled back.
    #[error("{table}: {what} is {found}, expected {expected}; everything was rolled back")]
    NotVerified {
        /// The table of the source.
        table: String,
        /// The compared figure.
        what: &'static str,
        /// The expected value.
        expected: String,
        /// The value that was found.
        found: String,
    },
    /// A newer version of this library wrote the destination's ledger.
    #[error(
        "the ledger of imports has version {found}, and this program supports up to {known}; update the program"
    )]
    LedgerTooNew {
        /// The version found.
        found: i64,
        /// The newest supported version.
        known: i64,
    },
    /// SQLite could not read the copy of the source.
    #[error("{}: {doing} failed", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: String,
        /// The driver's error.
        source: rusqlite::Error,
    },
    /// SQLite could not write to the outbox's database.
    #[error("cannot write to the outbox's database")]
    Destination(#[from] rusqlite::Error),
    /// The application's mapper ended the import.
    #[error("{at}: the application ended the import; everything was rolled back")]
    Mapper {
        /// The position: a row, before the first row or after the last.
        at: String,
        /// The application's error.
        source: BoxError,
    },
    /// The outbox's store could not begin or commit the transaction.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

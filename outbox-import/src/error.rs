//! Why an import did not take place. Whatever it is, nothing was written and the source is as it was.

use std::path::PathBuf;

use thiserror::Error;

use outbox_runtime::StoreError;
use outbox_runtime::store::BoxError;

/// An import did not take place. Nothing was written, and the source is as it was, unless the store's error says that its
/// [outcome is unknown](StoreError::outcome_unknown): running the import again settles that.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is no file at the path. It was not created.
    #[error("{}: there is no such file; the path of an existing store is needed (nothing was created)", path.display())]
    SourceMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file has no bytes, so it never was a store, or was lost.
    #[error(
        "{}: the file is empty; is it the right one, and was it copied as a whole? (nothing was imported)", path.display()
    )]
    SourceEmpty {
        /// Which file.
        path: PathBuf,
    },
    /// The file cannot be read or copied.
    #[error("{}: it cannot be copied to be read", path.display())]
    CannotCopy {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file changed each time that it was copied.
    #[error("{}: it is being written to; end the application that has it open, and run the import again", path.display())]
    SourceChanging {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error("{}: this is not a SQLite database; give the path of the store itself (it was left as it is)", path.display())]
    NotADatabase {
        /// Which file.
        path: PathBuf,
    },
    /// The database is damaged, so that what is read of it may not be all of it.
    #[error(
        "{}: the database is damaged ({finding}); recover it or take a backup, and import that (it was left as it is)",
        path.display()
    )]
    SourceDamaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite found first.
        finding: String,
    },
    /// Source and destination are one file.
    #[error("{}: this is the file that the outbox itself is in; an import needs another source", path.display())]
    SourceIsDestination {
        /// Which file.
        path: PathBuf,
    },
    /// The table is not there. It is no empty table: perhaps it is the wrong file.
    #[error(
        "{}: there is no table {table} (there are: {}); is it the right file, and is the name right?",
        path.display(), list(there)
    )]
    TableMissing {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        table: String,
        /// The tables that there are.
        there: Vec<String>,
    },
    /// A column that is needed is not there.
    #[error(
        "{}: table {table} has no column {column} (it has: {}); it is of another layout than this import reads",
        path.display(), list(there)
    )]
    ColumnMissing {
        /// Which file.
        path: PathBuf,
        /// Which table.
        table: String,
        /// What was looked for.
        column: String,
        /// The columns that there are.
        there: Vec<String>,
    },
    /// Several entities share a table, and the rows of one have values in several columns that an attribute may be in.
    #[error(
        "{}: {attribute} of {entity} may be any of the columns {} of {table}, as its rows have values in all of them; \
         name the column itself instead of the attribute",
        path.display(), list(columns)
    )]
    AmbiguousColumn {
        /// Which file.
        path: PathBuf,
        /// Which table.
        table: String,
        /// Whose rows.
        entity: String,
        /// What was looked for.
        attribute: String,
        /// Where it may be.
        columns: Vec<String>,
    },
    /// The column that rows are ordered by is NULL in all of them, so that their order would be lost.
    #[error(
        "{}: {column} is NULL in all {rows} rows of {table}, so that it orders nothing; \
         order by the column that has the time of creation, or by none",
        path.display()
    )]
    EmptyOrder {
        /// Which file.
        path: PathBuf,
        /// Which table.
        table: String,
        /// What the rows were to be ordered by.
        column: String,
        /// How many rows there are.
        rows: u64,
    },
    /// A column is there that only a newer layout has.
    #[error(
        "{}: table {table} has the column {column}, so it is of a newer layout than this import reads; update the program",
        path.display()
    )]
    NewerLayout {
        /// Which file.
        path: PathBuf,
        /// Which table.
        table: String,
        /// What gives it away.
        column: String,
    },
    /// The rows of a table cannot be told apart: it is a view, or was made `WITHOUT ROWID`.
    #[error("{}: the rows of {table} have no rowid to tell them apart by; copy them into an ordinary table first", path.display())]
    NoRowid {
        /// Which file.
        path: PathBuf,
        /// Which table.
        table: String,
    },
    /// The import names no table, so that it would do nothing and report success.
    #[error("the import of {} names no table; add `.table(..)`", path.display())]
    NoTable {
        /// Which file.
        path: PathBuf,
    },
    /// What was counted or read back is not what was written. Everything was rolled back.
    #[error("{table}: {what} should be {expected} and is {found}; everything was rolled back")]
    NotVerified {
        /// Which table of the source.
        table: String,
        /// What was compared.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The destination's ledger was written by a newer version of this library.
    #[error(
        "the ledger of imports is of version {found}, this program knows versions up to {known}; update the program"
    )]
    LedgerTooNew {
        /// The version that is there.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// SQLite could not read the copy of the source.
    #[error("{}: {doing} failed", path.display())]
    Source {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// The driver's error.
        source: rusqlite::Error,
    },
    /// SQLite could not write to the outbox's database.
    #[error("the outbox's database could not be written")]
    Destination(#[from] rusqlite::Error),
    /// The application's mapper ended the import.
    #[error("{at}: the application ended the import; everything was rolled back")]
    Mapper {
        /// Where it was: a row, before the first or after the last.
        at: String,
        /// What the application said.
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

//! Maps the driver's errors to store errors: the kind, the place, and the remedy.

use std::error::Error;
use std::ffi::c_int;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::database_path::database_path;
use crate::error::{EnqueueError, StoreError, StoreErrorKind};

/// Wraps a driver error that `operation` met on the file at `path`.
pub(super) fn fault(operation: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let (kind, message) = describe(path, &error);
    StoreError::new(kind, operation, message).with_source(error)
}

/// Returns the kind of an error and its message.
pub(super) fn describe(path: &Path, error: &rusqlite::Error) -> (StoreErrorKind, String) {
    let (kind, advice) = classify(error);
    let path = path.display();
    let message = if advice.is_empty() {
        format!("{path}: {error}")
    } else {
        format!("{path}: {error}; {advice}")
    };
    (kind, message)
}

/// Like [`fault`], for a connection that the caller opened.
pub(super) fn fault_on(
    operation: &'static str,
    conn: &rusqlite::Connection,
    error: rusqlite::Error,
) -> StoreError {
    let path = database_path(conn).unwrap_or_else(|| "the connection's database".into());
    fault(operation, &path, error)
}

/// Explains an error met in a transaction that the caller had already opened. A transaction that
/// began by reading cannot wait for the write lock: if it fails to get it, the caller must repeat
/// the whole transaction.
pub(super) fn in_callers_transaction(error: EnqueueError) -> EnqueueError {
    match error {
        EnqueueError::Store(error) => stale_in_callers_transaction(error).into(),
        error => error,
    }
}

/// As [`in_callers_transaction`], for an error of the store.
pub(super) fn stale_in_callers_transaction(error: StoreError) -> StoreError {
    let driver = error.source().and_then(<dyn Error>::downcast_ref);
    let is_busy =
        driver.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy);
    match (is_busy, error.kind()) {
        (true, StoreErrorKind::Unavailable) => {
            error.explained(StoreErrorKind::StaleTransaction, STALE_TRANSACTION)
        }
        _ => error,
    }
}

pub(super) const STALE_TRANSACTION: &str = "another connection holds the write lock, or has committed since this transaction read; roll \
                                 back and repeat the whole transaction, starting with BEGIN IMMEDIATE";

/// The message for a file that is no longer at the store's path.
pub(super) fn gone(path: &Path, file: &Path) -> String {
    let (path, file) = (path.display(), file.display());
    format!(
        "{path}: {file} was deleted or replaced since the store opened it; nothing was written. Close the store and open it \
         again; call `suspend` before replacing its files"
    )
}

/// The error of a read without locks during which another program opened the file.
pub(super) fn thawed(operation: &'static str, path: &Path) -> StoreError {
    let message = format!(
        "{}: another program opened the file meanwhile; open it again",
        path.display()
    );
    StoreError::new(StoreErrorKind::Unavailable, operation, message)
}

fn classify(error: &rusqlite::Error) -> (StoreErrorKind, &'static str) {
    let code = error.sqlite_error().map(|error| error.extended_code);
    kind_of(code.unwrap_or_default(), &error.to_string())
}

/// The kind of an error with this extended code, and what to do about it.
pub(super) fn kind_of(extended: c_int, text: &str) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    if extended == ffi::SQLITE_BUSY_SNAPSHOT {
        return (Kind::StaleTransaction, STALE_TRANSACTION);
    }
    match extended & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => (
            Kind::Unavailable,
            "another connection holds the lock; try again, or set a longer busy timeout (inside a transaction of your \
             own, enqueue on that transaction)",
        ),
        ffi::SQLITE_IOERR => (Kind::Unavailable, "the storage device reported an error"),
        ffi::SQLITE_FULL => (Kind::StorageFull, "free some space and try again"),
        ffi::SQLITE_READONLY => (
            Kind::ReadOnly,
            "make the file and its folder writable, including the -wal and -shm files next to it",
        ),
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => (
            Kind::CannotOpen,
            "check that the folder exists and that this process may write to it",
        ),
        ffi::SQLITE_NOTADB => (
            Kind::NotADatabase,
            "the file was left unchanged; use another path or move the file away (an encrypted file needs its key \
             first: `SqliteStoreBuilder::on_connect`)",
        ),
        ffi::SQLITE_CORRUPT => (
            Kind::Corrupt,
            "the file is damaged or its storage device cannot be read: stop writing to it, keep a copy with its \
             -wal, and recover from a backup",
        ),
        // SQLite has no error code for a missing table.
        _ if text.contains("no such table: outbox_") => (
            Kind::NotInstalled,
            "open a `SqliteStore` on this file once before enqueueing on other connections",
        ),
        _ => (Kind::Other, ""),
    }
}

pub(super) fn outdated_driver(version: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::DriverTooOld,
        "open",
        format!(
            "this program is linked with SQLite {version}, which can corrupt a WAL database that several \
             connections use; link SQLite 3.51.3 or newer (the feature `bundled` includes one)"
        ),
    )
}

pub(super) fn closed(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Closed,
        operation,
        "the store was closed; open it again",
    )
}

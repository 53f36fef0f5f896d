//! From the driver's errors to ours: what kind it is, where it happened, what to do.

use std::error::Error;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_BUSY_SNAPSHOT;

use super::watch::database_path;
use crate::error::{EnqueueError, StoreError, StoreErrorKind};

/// An error of the driver, met by `operation` on the file at `path`.
pub(super) fn fault(operation: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let (kind, message) = describe(path, &error);
    StoreError::new(kind, operation, message).with_source(error)
}

/// What kind of error it is, and what is said about it.
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

/// The same for a connection that the caller opened.
pub(super) fn fault_on(
    operation: &'static str,
    conn: &rusqlite::Connection,
    error: rusqlite::Error,
) -> StoreError {
    let path = database_path(conn).unwrap_or_else(|| "the connection's database".into());
    fault(operation, &path, error)
}

/// For work on a connection that had a transaction open before: the error, and if that transaction
/// cannot become one that writes, what helps. It began with reading, so it waits for nobody and can
/// only be repeated.
pub(super) fn in_callers_transaction(error: EnqueueError) -> EnqueueError {
    let EnqueueError::Store(error) = error else {
        return error;
    };
    let driver = error.source().and_then(<dyn Error>::downcast_ref);
    let is_busy =
        driver.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy);
    EnqueueError::Store(match (is_busy, error.kind()) {
        (true, StoreErrorKind::Unavailable) => {
            error.explained(StoreErrorKind::StaleTransaction, STALE_TRANSACTION)
        }
        _ => error,
    })
}

const STALE_TRANSACTION: &str = "another connection has the write lock, or has committed since this transaction read; roll \
                                 back and repeat the whole transaction, begun with BEGIN IMMEDIATE";

/// The store's file is no longer at its path.
pub(super) fn gone(path: &Path, file: &Path) -> String {
    let (path, file) = (path.display(), file.display());
    format!(
        "{path}: {file} was deleted or replaced since the store opened it; nothing was written. Close the store and open it \
         again; `suspend` it before its files are exchanged"
    )
}

fn classify(error: &rusqlite::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    let code = error.sqlite_error_code();
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match code {
        Some(ErrorCode::DatabaseBusy) if extended == Some(SQLITE_BUSY_SNAPSHOT) => {
            (Kind::StaleTransaction, STALE_TRANSACTION)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Unavailable,
            "another connection holds the lock; try again, or set a longer busy timeout",
        ),
        Some(ErrorCode::SystemIoFailure) => (Kind::Unavailable, "the medium reported a fault"),
        Some(ErrorCode::DiskFull) => (Kind::StorageFull, "make space and try again"),
        Some(ErrorCode::ReadOnly) => (
            Kind::ReadOnly,
            "the file and its folder must be writable, for the -wal and -shm files beside it too",
        ),
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied,
        ) => (
            Kind::CannotOpen,
            "does the folder exist, and may this process write to it?",
        ),
        Some(ErrorCode::NotADatabase) => (
            Kind::NotADatabase,
            "the file was left as it is; give another path or move it away (an encrypted one needs its key first: \
             `SqliteStoreBuilder::on_connect`)",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Kind::Corrupt,
            "the file is damaged, or its medium cannot be read: stop writing to it, keep a copy of it with its -wal, and \
             recover from a backup",
        ),
        _ if is_missing_table(error) => (
            Kind::NotInstalled,
            "open a `SqliteStore` on this file once before events are enqueued on other connections",
        ),
        _ => (Kind::Other, ""),
    }
}

/// SQLite has no code of its own for it.
fn is_missing_table(error: &rusqlite::Error) -> bool {
    error.to_string().contains("no such table: outbox_events")
}

pub(super) fn outdated_driver(version: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::DriverTooOld,
        "open",
        format!(
            "the program is linked with SQLite {version}, which can corrupt a WAL database that several connections \
             use; 3.51.3 or newer is needed (the feature `bundled` brings one)"
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

//! From the driver's errors to ours: what kind it is, where it happened, what to do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{StoreError, StoreErrorKind};

/// An error of the driver, met by `operation` on the file at `path`.
pub(super) fn fault(operation: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let (kind, advice) = classify(&error);
    let path = path.display();
    let message = if advice.is_empty() {
        format!("{path}: {error}")
    } else {
        format!("{path}: {error}; {advice}")
    };
    StoreError::new(kind, operation, message).with_source(error)
}

/// The same for a connection that the caller opened.
pub(super) fn fault_on(
    operation: &'static str,
    conn: &rusqlite::Connection,
    error: rusqlite::Error,
) -> StoreError {
    let path = conn.path().filter(|path| !path.is_empty());
    fault(
        operation,
        Path::new(path.unwrap_or("the connection's database")),
        error,
    )
}

fn classify(error: &rusqlite::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    let code = error.sqlite_error_code();
    match code {
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
            "the file was left as it is; give another path or move it away",
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

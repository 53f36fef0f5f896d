//! Errors of drivers that this library does not know.

use std::ffi::c_int;
use std::fmt;

use rusqlite::ffi;

use crate::error::{BoxError, StoreError, StoreErrorKind};
use crate::store::sqlite::fault::{STALE_TRANSACTION, kind_of};

/// A statement that failed: the driver's error, and what is known about it.
///
/// # Examples
///
/// ```
/// use outbox_runtime::store::SqliteFailure;
///
/// const SQLITE_FULL: i32 = 13;
/// let error = std::io::Error::other("database or disk is full");
/// let failure = SqliteFailure::new(error).with_code(SQLITE_FULL).in_transaction(true);
/// assert_eq!(failure.to_string(), "database or disk is full");
/// ```
#[derive(Debug)]
pub struct SqliteFailure {
    code: Option<c_int>,
    in_transaction: bool,
    source: BoxError,
}

impl SqliteFailure {
    /// A failure with this error of the driver. Unless a code is given, its text tells the kind of
    /// the error: SQLite has one message for each code.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self {
            code: None,
            in_transaction: false,
            source: source.into(),
        }
    }

    /// Sets SQLite's extended result code, where the driver tells it.
    #[must_use]
    pub fn with_code(mut self, extended: i32) -> Self {
        self.code = Some(extended);
        self
    }

    /// Sets whether the caller has a transaction open. There, `SQLITE_BUSY` means that this
    /// transaction cannot write any more and must be repeated from its start; elsewhere the same
    /// call may be repeated. Default: false.
    #[must_use]
    pub fn in_transaction(mut self, in_transaction: bool) -> Self {
        self.in_transaction = in_transaction;
        self
    }

    /// The error of `operation`: what the sink returns for a statement of its own, such as a
    /// savepoint of the driver.
    #[must_use]
    pub fn into_store_error(self, operation: &'static str) -> StoreError {
        let text = self.source.to_string();
        let code = self.code.unwrap_or_else(|| code_in(&text));
        let is_stale = self.in_transaction && code & 0xff == ffi::SQLITE_BUSY;
        let (kind, advice) = match is_stale {
            true => (StoreErrorKind::StaleTransaction, STALE_TRANSACTION),
            false => kind_of(code, &text),
        };
        let message = match advice {
            "" => text,
            advice => format!("{text}; {advice}"),
        };
        StoreError::new(kind, operation, message).with_source(self.source)
    }
}

impl fmt::Display for SqliteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for SqliteFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// The code whose message is in a text, or 0. The messages are those of `sqlite3_errstr`.
fn code_in(text: &str) -> c_int {
    const MESSAGES: &[(&str, c_int)] = &[
        ("database is locked", ffi::SQLITE_BUSY),
        ("database table is locked", ffi::SQLITE_LOCKED),
        ("attempt to write a readonly database", ffi::SQLITE_READONLY),
        ("disk I/O error", ffi::SQLITE_IOERR),
        ("database disk image is malformed", ffi::SQLITE_CORRUPT),
        ("database or disk is full", ffi::SQLITE_FULL),
        ("unable to open database file", ffi::SQLITE_CANTOPEN),
        ("access permission denied", ffi::SQLITE_PERM),
        ("not authorized", ffi::SQLITE_AUTH),
        ("file is not a database", ffi::SQLITE_NOTADB),
    ];
    let found = MESSAGES.iter().find(|(message, _)| text.contains(message));
    found.map_or(0, |(_, code)| *code)
}

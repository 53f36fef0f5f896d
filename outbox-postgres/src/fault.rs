//! Errors of the driver as errors of the store.

use std::error::Error;

use deadpool_postgres::PoolError;
use outbox_runtime::{StoreError, StoreErrorKind};
use tokio_postgres::error::{Severity, SqlState};

/// The kind of a driver's error, and what to do about it.
fn kind_of(error: &tokio_postgres::Error) -> (StoreErrorKind, &'static str) {
    let Some(code) = error.code() else {
        return (
            StoreErrorKind::Unavailable,
            "the connection failed; the call can be repeated",
        );
    };
    if is_end_of_session(error) {
        return (StoreErrorKind::Unavailable, "the call can be repeated");
    }
    kind_of_state(code)
}

/// The kind of an error with this SQLSTATE, and what to do about it.
pub(crate) fn kind_of_state(code: &SqlState) -> (StoreErrorKind, &'static str) {
    if is_worth_a_retry(code) {
        return (StoreErrorKind::Unavailable, "the call can be repeated");
    }
    match *code {
        SqlState::DISK_FULL => (StoreErrorKind::StorageFull, "free disk space on the server"),
        SqlState::READ_ONLY_SQL_TRANSACTION => (
            StoreErrorKind::ReadOnly,
            "connect to the primary server, with a transaction that may write",
        ),
        SqlState::INSUFFICIENT_PRIVILEGE => (
            StoreErrorKind::ReadOnly,
            "grant the role what the guide lists",
        ),
        SqlState::UNDEFINED_TABLE
        | SqlState::INVALID_SCHEMA_NAME
        | SqlState::UNDEFINED_COLUMN
        | SqlState::UNDEFINED_FUNCTION => (
            StoreErrorKind::NotInstalled,
            "the schema has no outbox of this version; call `migrate` or run its SQL",
        ),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => (
            StoreErrorKind::Corrupt,
            "restore the database from a backup",
        ),
        SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INVALID_CATALOG_NAME => {
            (StoreErrorKind::CannotOpen, "check the connection settings")
        }
        _ => (StoreErrorKind::Other, "see the server's message"),
    }
}

/// Whether the same statement may succeed later without intervention: the server restarts, ended
/// the connection or the transaction, or is short of something.
pub(crate) fn is_worth_a_retry(code: &SqlState) -> bool {
    const CODES: &[SqlState] = &[
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
        SqlState::QUERY_CANCELED,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::OUT_OF_MEMORY,
        SqlState::UNIQUE_VIOLATION,
    ];
    CODES.contains(code) || code.code() == TRANSACTION_TIMEOUT || code.code().starts_with("08")
}

/// Whether an internal failure of the server ended the session, such as that of a session that
/// begins while the disk is full. Another session may fare better.
fn is_end_of_session(error: &tokio_postgres::Error) -> bool {
    let is_internal = |code: &SqlState| matches!(code.code().get(..2), Some("XX" | "58"));
    !was_refused(error) && error.code().is_some_and(is_internal)
}

/// Whether two claims met on one lane, or waited for each other: the transaction was rolled back
/// and can be run again at once.
pub(crate) fn is_collision(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(is_collision_state)
}

/// The same, of an error of the store.
pub(crate) fn is_of_collision(error: &StoreError) -> bool {
    let driver = error.source().and_then(<dyn Error>::downcast_ref);
    driver.is_some_and(is_collision)
}

pub(crate) fn is_collision_state(code: &SqlState) -> bool {
    *code == SqlState::UNIQUE_VIOLATION
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::T_R_SERIALIZATION_FAILURE
}

/// Whether a lock could not be had in time.
pub(crate) fn is_lock_timeout(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the server ended the session or the transaction for a reason of its own: the transaction
/// was rolled back, and another connection can run it at once.
fn was_cut_off(error: &tokio_postgres::Error) -> bool {
    const CODES: &[SqlState] = &[
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
    ];
    let code = error.code();
    code.is_some_and(|code| CODES.contains(code) || code.code() == TRANSACTION_TIMEOUT)
}

/// Since PostgreSQL 17; the driver has no name for it.
const TRANSACTION_TIMEOUT: &str = "25P04";

/// Counts how often a transaction is run again.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    collisions: usize,
    losses: usize,
}

impl Tries {
    /// How often a transaction is run again that met another one on a lane or a row.
    const MOST_COLLISIONS: usize = 10;

    /// How often it is run again on another connection. The pool may hold several that a restart
    /// of the server has ended; the caller repeats the call after a pause.
    const MOST_LOSSES: usize = 2;

    /// Whether to run a transaction again that ended with this error and wrote nothing.
    pub(crate) fn again(&mut self, error: &tokio_postgres::Error) -> bool {
        if is_collision(error) {
            self.collisions += 1;
            return self.collisions <= Self::MOST_COLLISIONS;
        }
        if was_cut_off(error) {
            self.losses += 1;
            return self.losses <= Self::MOST_LOSSES;
        }
        false
    }
}

/// The error of an operation on a connection of the store.
pub(crate) fn fault(operation: &'static str, error: tokio_postgres::Error) -> StoreError {
    let (kind, advice) = kind_of(&error);
    StoreError::new(kind, operation, format!("{}; {advice}", text_of(&error))).with_source(error)
}

/// The error of a commit, or of a statement that is a transaction of its own. It may have taken
/// effect if the server did not answer, and also if it ended the session: it does that between a
/// commit and the answer, too.
pub(crate) fn commit_fault(operation: &'static str, error: tokio_postgres::Error) -> StoreError {
    let is_known = was_refused(&error);
    let fault = fault(operation, error);
    if is_known {
        fault
    } else {
        fault.with_unknown_outcome()
    }
}

/// Whether the server refused a statement and kept the session.
pub(crate) fn was_refused(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        let severity = db.parsed_severity();
        !matches!(severity, Some(Severity::Fatal | Severity::Panic))
    })
}

/// The error of an operation inside the caller's transaction, which PostgreSQL has aborted: the
/// whole transaction must be repeated.
pub(crate) fn callers_fault(operation: &'static str, error: tokio_postgres::Error) -> StoreError {
    if error.code().is_some_and(needs_new_transaction) {
        let message = format!("{}; {REPEAT_TRANSACTION}", text_of(&error));
        return StoreError::new(StoreErrorKind::StaleTransaction, operation, message)
            .with_source(error);
    }
    fault(operation, error)
}

/// What to do after an error that [`needs_new_transaction`].
pub(crate) const REPEAT_TRANSACTION: &str = "roll the transaction back and repeat it";

/// Whether an error with this SQLSTATE has ended the caller's transaction, which may succeed if it
/// is repeated.
pub(crate) fn needs_new_transaction(code: &SqlState) -> bool {
    is_collision_state(code) || *code == SqlState::IN_FAILED_SQL_TRANSACTION
}

/// The error of taking a connection from the pool.
pub(crate) fn pool_fault(operation: &'static str, error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => fault(operation, error),
        PoolError::Closed => StoreError::new(
            StoreErrorKind::Closed,
            operation,
            "the pool of connections is closed",
        ),
        error => {
            let message = format!("no connection could be had from the pool: {error}");
            StoreError::new(StoreErrorKind::Unavailable, operation, message).with_source(error)
        }
    }
}

/// The server's own words, or the driver's, without values of rows.
fn text_of(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

//! Errors of drivers that this library does not know.

use std::fmt;

use outbox_runtime::store::BoxError;
use outbox_runtime::{StoreError, StoreErrorKind};
use tokio_postgres::error::SqlState;

use crate::fault::{REPEAT_TRANSACTION, is_collision_state, kind_of_state, needs_new_transaction};

/// A statement that failed: the driver's error, and its SQLSTATE.
///
/// # Examples
///
/// ```
/// use outbox_postgres::PostgresFailure;
///
/// let error = std::io::Error::other("could not serialize access due to concurrent update");
/// let failure = PostgresFailure::new(error).with_sqlstate("40001");
/// let error = failure.into_store_error("enqueue");
/// assert!(error.needs_new_transaction());
///
/// let error = PostgresFailure::of_server("division by zero").into_store_error("enqueue");
/// assert!(!error.is_transient());
/// ```
#[derive(Debug)]
pub struct PostgresFailure {
    state: Option<SqlState>,
    is_of_server: bool,
    source: BoxError,
}

impl PostgresFailure {
    /// A failure with this error of the driver, which did not come from the server.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self {
            state: None,
            is_of_server: false,
            source: source.into(),
        }
    }

    /// A failure with this error of the server, whose SQLSTATE the driver does not tell.
    pub fn of_server(source: impl Into<BoxError>) -> Self {
        Self {
            is_of_server: true,
            ..Self::new(source)
        }
    }

    /// Sets the SQLSTATE of the server's error, five characters.
    #[must_use]
    pub fn with_sqlstate(mut self, state: &str) -> Self {
        self.state = Some(SqlState::from_code(state));
        self
    }

    pub(super) fn is_collision(&self) -> bool {
        self.state.as_ref().is_some_and(is_collision_state)
    }

    /// The error of `operation` in the caller's transaction: what the sink returns for a statement
    /// of its own, such as a savepoint of the driver.
    #[must_use]
    pub fn into_store_error(self, operation: &'static str) -> StoreError {
        let (kind, advice) = match &self.state {
            None if self.is_of_server => (StoreErrorKind::Other, "see the server's message"),
            None => (
                StoreErrorKind::Unavailable,
                "the connection failed; the call can be repeated",
            ),
            Some(state) if needs_new_transaction(state) => {
                (StoreErrorKind::StaleTransaction, REPEAT_TRANSACTION)
            }
            Some(state) => kind_of_state(state),
        };
        let message = match &self.state {
            Some(state) => format!("{} (SQLSTATE {}); {advice}", self.source, state.code()),
            None => format!("{}; {advice}", self.source),
        };
        StoreError::new(kind, operation, message).with_source(self.source)
    }
}

impl fmt::Display for PostgresFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for PostgresFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

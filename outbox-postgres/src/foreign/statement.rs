//! Statements for a driver to run, and their values.

use std::fmt;

use super::failure::PostgresFailure;
use crate::value::PostgresValue;

/// What comes of a statement.
pub(super) type Answer = Result<Vec<Vec<PostgresValue>>, PostgresFailure>;

/// A statement, and its values.
///
/// # Examples
///
/// ```
/// use outbox_postgres::{Outbox, PostgresStep, PostgresValue};
/// use outbox_runtime::{NewEvent, Operation};
///
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Create);
/// let PostgresStep::Run(statement, _) = Outbox::default().enqueue_step(event) else {
///     panic!("an event is written by a statement");
/// };
/// assert!(statement.sql().starts_with("SELECT ") && statement.returns_rows());
/// let event_type = PostgresValue::Text(Some("moodEntry".to_owned()));
/// assert!(statement.params().contains(&event_type));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresStatement {
    pub(super) sql: String,
    pub(super) params: Vec<PostgresValue>,
    pub(super) returns_rows: bool,
}

impl PostgresStatement {
    /// The text, with numbered parameters from `$1` on. There are a dozen texts for an outbox, and
    /// the types of their parameters are always the same.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The values of the parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[PostgresValue] {
        &self.params
    }

    /// Whether the statement returns rows, whose columns are each a `bigint` or a `text`. Others
    /// have no parameters, either.
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        self.returns_rows
    }
}

/// Without the values, which may be those of users.
impl fmt::Debug for PostgresStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStatement")
            .field("sql", &self.sql)
            .finish_non_exhaustive()
    }
}

//! Statements for a driver to run, and their values.

use std::fmt;

use super::failure::PostgresFailure;

/// What comes of a statement.
pub(super) type Answer = Result<Vec<Vec<PostgresValue>>, PostgresFailure>;

/// A value of a parameter or a column. There are only two types, `bigint` and `text`, so that any
/// driver has them; the statements convert them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresValue {
    /// A `bigint`, or NULL.
    Integer(Option<i64>),
    /// A `text`, or NULL.
    Text(Option<String>),
}

/// A statement, and its values.
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

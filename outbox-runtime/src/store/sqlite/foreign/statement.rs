//! Statements for a driver to run, and what comes of them.

use std::fmt;

use crate::store::sqlite::value::SqlValue;

/// A statement, and its values.
#[derive(Clone, PartialEq)]
pub struct SqliteStatement {
    pub(super) sql: &'static str,
    pub(super) params: Vec<SqlValue>,
    pub(super) returns_rows: bool,
}

impl SqliteStatement {
    /// The text, with numbered parameters from `?1` on. There are a few dozen texts in all, so a
    /// driver that caches prepared statements by text prepares each once.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// The values of the parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[SqlValue] {
        &self.params
    }

    /// The values of the parameters, in order, by value.
    #[must_use]
    pub fn into_params(self) -> Vec<SqlValue> {
        self.params
    }

    /// Whether the answer is the [rows](SqliteReply::Rows) rather than the
    /// [number of changed ones](SqliteReply::Changed).
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        self.returns_rows
    }
}

/// Without the values, which may be those of users.
impl fmt::Debug for SqliteStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStatement")
            .field("sql", &self.sql)
            .finish_non_exhaustive()
    }
}

/// What came of a statement.
#[derive(Clone, PartialEq)]
pub enum SqliteReply {
    /// The rows of a statement that [returns rows](SqliteStatement::returns_rows), each with its
    /// columns in order. Values have the types that SQLite stores, whatever the columns declare.
    Rows(Vec<Vec<SqlValue>>),
    /// How many rows another statement changed.
    Changed(u64),
}

/// Without the values, which may be those of users.
impl fmt::Debug for SqliteReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => f.debug_tuple("Rows").field(&rows.len()).finish(),
            Self::Changed(changed) => f.debug_tuple("Changed").field(changed).finish(),
        }
    }
}

//! A connection of any driver, to code that is written once for all of them: folding, keys,
//! cancellations, and completions by handlers.
//!
//! Statements go in, and rows come out as values. On a connection of rusqlite every answer is there
//! at once ([`at_once`]); on that of another driver it comes from outside (`foreign`).

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::value::SqlValue;

/// A connection with a transaction in which statements run.
pub(super) trait Database {
    type Error;

    /// The rows of a query.
    fn rows(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
    ) -> impl Future<Output = Result<Vec<Values>, Self::Error>>;

    /// Runs a statement that returns no rows, and tells how many it changed.
    fn change(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
    ) -> impl Future<Output = Result<u64, Self::Error>>;

    /// The error of a row that was just written and is gone.
    fn no_row() -> Self::Error;

    /// The first row of a query.
    async fn row(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
    ) -> Result<Option<Values>, Self::Error> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Whether a query for one number returned one that is not 0.
    async fn is(&self, sql: &'static str, params: &[ValueRef<'_>]) -> Result<bool, Self::Error> {
        let row = self.row(sql, params).await?;
        Ok(row.is_some_and(|row| row.integer(0) != 0))
    }
}

/// A connection of rusqlite.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnConnection<'c>(pub(super) &'c Connection);

impl Database for OnConnection<'_> {
    type Error = rusqlite::Error;

    async fn rows(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
    ) -> rusqlite::Result<Vec<Values>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let params = params.iter().copied().map(ToSqlOutput::Borrowed);
        let mut rows = statement.query(params_from_iter(params))?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            let row: rusqlite::Result<Vec<SqlValue>> = (0..columns)
                .map(|at| row.get_ref(at).map(SqlValue::from))
                .collect();
            values.push(Values(row?));
        }
        Ok(values)
    }

    async fn change(&self, sql: &'static str, params: &[ValueRef<'_>]) -> rusqlite::Result<u64> {
        let params = params.iter().copied().map(ToSqlOutput::Borrowed);
        let changed = self
            .0
            .prepare_cached(sql)?
            .execute(params_from_iter(params))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn no_row() -> rusqlite::Error {
        rusqlite::Error::QueryReturnedNoRows
    }
}

/// The output of work on a connection of rusqlite, which waits for nothing.
pub(super) fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
    }
}

/// A row as values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values(pub(super) Vec<SqlValue>);

impl Values {
    /// The integer in a column, or 0 where there is none.
    pub(super) fn integer(&self, at: usize) -> i64 {
        self.some_integer(at).unwrap_or_default()
    }

    /// The integer in a column, if there is one.
    pub(super) fn some_integer(&self, at: usize) -> Option<i64> {
        match self.0.get(at) {
            Some(SqlValue::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The bytes of a column.
    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        match self.0.get(at) {
            Some(SqlValue::Text(text)) => text.as_bytes(),
            Some(SqlValue::Blob(bytes)) => bytes,
            _ => &[],
        }
    }
}

/// A row of any driver.
pub(super) trait Cells {
    type Error;

    fn cell(&self, at: usize) -> Result<ValueRef<'_>, Self::Error>;
}

impl Cells for Row<'_> {
    type Error = rusqlite::Error;

    fn cell(&self, at: usize) -> rusqlite::Result<ValueRef<'_>> {
        self.get_ref(at)
    }
}

/// A column that the row lacks is NULL.
impl Cells for Values {
    type Error = Infallible;

    fn cell(&self, at: usize) -> Result<ValueRef<'_>, Infallible> {
        Ok(self.0.get(at).map_or(ValueRef::Null, SqlValue::as_ref))
    }
}

/// The parameters of a statement for any driver.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::sqlite::database::ToValue::to_value(&$value)),*]
    };
}
pub(super) use values;

/// What becomes a parameter without a copy.
pub(super) trait ToValue {
    fn to_value(&self) -> ValueRef<'_>;
}

macro_rules! integers {
    ($($integer:ty),+) => {$(
        impl ToValue for $integer {
            fn to_value(&self) -> ValueRef<'_> {
                ValueRef::Integer(i64::from(*self))
            }
        }
    )+};
}
integers!(i64, i32, u32, bool);

impl ToValue for str {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl ToValue for String {
    fn to_value(&self) -> ValueRef<'_> {
        self.as_str().to_value()
    }
}

impl ToValue for uuid::Uuid {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self.as_bytes())
    }
}

impl ToValue for crate::metadata::RawMetadata {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl ToValue for ValueRef<'_> {
    fn to_value(&self) -> ValueRef<'_> {
        *self
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> ValueRef<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, ToValue::to_value)
    }
}

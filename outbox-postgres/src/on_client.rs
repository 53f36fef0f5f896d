//! Connections of tokio-postgres as sessions.

use chrono::{DateTime, Utc};
use outbox_runtime::{EnqueueError, Enqueued, NewEvent, StoreError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use crate::insert::{Values, insert_row, known};
use crate::session::Session;
use crate::sql::Sql;
use crate::value::{Columns, PostgresValue};

/// A connection of tokio-postgres with a transaction open.
pub(crate) struct OnClient<'c, C> {
    pub(crate) client: &'c C,
    pub(crate) sql: &'c Sql,
    pub(crate) now: Option<DateTime<Utc>>,
    pub(crate) operation: &'static str,
    /// The error of an operation in this transaction, which is the store's own or the caller's.
    pub(crate) fault: fn(&'static str, tokio_postgres::Error) -> StoreError,
}

impl<C> OnClient<'_, C> {
    pub(crate) fn fault(&self, error: tokio_postgres::Error) -> StoreError {
        (self.fault)(self.operation, error)
    }
}

/// Nothing is prepared by name: the connection may be the caller's, with a pooler between that
/// gives each transaction another session.
impl<C: GenericClient + Sync> Session for OnClient<'_, C> {
    fn operation(&self) -> &'static str {
        self.operation
    }

    fn sql(&self) -> &Sql {
        self.sql
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        self.now
    }

    async fn rows(
        &self,
        sql: String,
        params: Vec<PostgresValue>,
    ) -> Result<Vec<Columns>, StoreError> {
        let typed: Vec<(&(dyn ToSql + Sync), Type)> = params
            .iter()
            .map(|value| match value {
                PostgresValue::Integer(number) => (number as &(dyn ToSql + Sync), Type::INT8),
                PostgresValue::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
            })
            .collect();
        let rows = self.client.query_typed(&sql, &typed).await;
        let rows = rows.and_then(|rows| rows.iter().map(columns).collect());
        rows.map_err(|error| self.fault(error))
    }

    async fn insert(&self, event: &NewEvent) -> Result<bool, StoreError> {
        let values = Values::of(event);
        let written = insert_row(self.client, self.sql, &values, self.now).await;
        written.map_err(|error| self.fault(error))
    }

    async fn known(
        &self,
        event: &NewEvent,
    ) -> Result<Option<Result<Enqueued, EnqueueError>>, StoreError> {
        let known = known(self.client, self.sql, &[event]).await;
        let mut known = known.map_err(|error| self.fault(error))?;
        Ok(known.remove(&event.id()))
    }
}

fn columns(row: &Row) -> Result<Columns, tokio_postgres::Error> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| {
        Ok(match *column.type_() {
            Type::INT8 => PostgresValue::Integer(row.try_get(at)?),
            _ => PostgresValue::Text(row.try_get(at)?),
        })
    };
    let values: Result<_, _> = row.columns().iter().enumerate().map(value).collect();
    values.map(Columns)
}

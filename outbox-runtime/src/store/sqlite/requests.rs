//! Requests to the threads of a store: a change on the writer, or a query in one snapshot.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::fault::fault_on;
use super::store::SqliteStore;
use super::writer::Effects;
use crate::error::StoreError;

impl SqliteStore {
    /// Runs `work` on the connection of the writer, in a transaction that it may share with other
    /// requests. `work` runs again if another request rolled back that transaction.
    pub(super) async fn write<T, F>(
        &self,
        operation: &'static str,
        mut work: F,
    ) -> Result<T, StoreError>
    where
        F: FnMut(&Connection, DateTime<Utc>, &mut Effects) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let clock = Arc::clone(&self.shared.clock);
        self.connections(operation)?
            .writer
            .run(operation, move |conn, effects| {
                work(conn, clock.now(), effects).map_err(|error| fault_on(operation, conn, error))
            })
            .await
    }

    /// Runs `query` on the reading connection, in one snapshot.
    pub(super) async fn read<T, F>(
        &self,
        operation: &'static str,
        query: F,
    ) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let reader = self.connections(operation)?.reader;
        reader.run(operation, in_snapshot(query)).await
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }
}

/// What an event is stands in two tables: its row, and the claims.
pub(super) fn in_snapshot<T>(
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> impl FnOnce(&Connection) -> rusqlite::Result<T> {
    move |conn| {
        let snapshot = conn.unchecked_transaction()?;
        let answer = query(&snapshot)?;
        snapshot.finish()?;
        Ok(answer)
    }
}

//! A connection of a driver that this library does not know, to the code that works on it.

use std::future::Future;
use std::sync::OnceLock;

use rusqlite::types::ValueRef;

use super::failure::SqliteFailure;
use super::statement::{SqliteReply, SqliteStatement};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::kit::{self, LaneKey};
use crate::store::sqlite::database::{Database, Values};
use crate::store::sqlite::database_path::path_of;
use crate::store::sqlite::fold;
use crate::store::sqlite::held::Held;
use crate::store::sqlite::placing::Placing;
use crate::store::sqlite::stores_on_file::StoresOnFile;
use crate::store::sqlite::value::SqlValue;

/// Where statements and their answers pass.
pub(super) type Desk = kit::Desk<SqliteStatement, Result<SqliteReply, SqliteFailure>>;

/// A connection of a driver that this library does not know.
pub(super) struct Foreign {
    operation: &'static str,
    desk: Desk,
    lane_key: OnceLock<LaneKey>,
}

impl Foreign {
    pub(super) fn new(operation: &'static str, desk: Desk) -> Self {
        Self {
            operation,
            desk,
            lane_key: OnceLock::new(),
        }
    }

    /// Waits for the write lock, and finds the stores of this process on the same file.
    pub(super) async fn begin(&self) -> Result<StoresOnFile, StoreError> {
        fold::lock(self).await?;
        let sql = "SELECT lane_key, (SELECT file FROM pragma_database_list WHERE name = 'main')
             FROM outbox_identity WHERE one = 1";
        let row = self.row(sql, &[]).await?;
        let row = row.ok_or_else(|| self.without_a_key())?;
        let key = row.bytes(0).try_into().map_err(|_| self.without_a_key())?;
        self.lane_key.get_or_init(|| LaneKey::new(key));
        Ok(StoresOnFile::at(path_of(row.bytes(1)).as_deref()))
    }

    /// Runs `work` so that all of it is written or none. It must not be dropped half-way.
    pub(super) async fn in_savepoint<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.change("SAVEPOINT outbox", &[]).await?;
        let done = match work.await {
            Ok(done) => match self.change("RELEASE outbox", &[]).await {
                Ok(_) => return Ok(done),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        // The first error is the one reported. Some errors have already rolled back the whole
        // transaction, including the savepoint.
        if self.change("ROLLBACK TO outbox", &[]).await.is_ok() {
            let _ = self.change("RELEASE outbox", &[]).await;
        }
        done
    }

    async fn run(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
        returns_rows: bool,
    ) -> Result<SqliteReply, StoreError> {
        let statement = SqliteStatement {
            sql,
            params: params.iter().copied().map(SqlValue::from).collect(),
            returns_rows,
        };
        let answer = self.desk.ask(statement).await;
        answer.map_err(|failure| failure.into_store_error(self.operation))
    }

    fn without_a_key(&self) -> StoreError {
        StoreError::new(
            StoreErrorKind::Corrupt,
            self.operation,
            "the table outbox_identity has no key; restore it from a backup of this file",
        )
    }

    /// The error of a driver that mixes up the two kinds of answers.
    fn mixed_up(&self, sql: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::InvalidArgument,
            self.operation,
            format!(
                "the driver answered with rows where there are none, or without them: {sql}; \
                 `SqliteStatement::returns_rows` tells which answer a statement has"
            ),
        )
    }
}

impl Database for Foreign {
    type Error = StoreError;

    async fn rows(
        &self,
        sql: &'static str,
        params: &[ValueRef<'_>],
    ) -> Result<Vec<Values>, StoreError> {
        match self.run(sql, params, true).await? {
            SqliteReply::Rows(rows) => Ok(rows.into_iter().map(Values).collect()),
            SqliteReply::Changed(_) => Err(self.mixed_up(sql)),
        }
    }

    async fn change(&self, sql: &'static str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        match self.run(sql, params, false).await? {
            SqliteReply::Changed(changed) => Ok(changed),
            SqliteReply::Rows(_) => Err(self.mixed_up(sql)),
        }
    }

    fn no_row() -> StoreError {
        StoreError::new(
            StoreErrorKind::NotFound,
            "enqueue",
            "an event was written but no longer exists; check for a trigger that deletes it",
        )
    }
}

impl Placing for Foreign {
    async fn lane_key(&self) -> Result<LaneKey, StoreError> {
        let key = self.lane_key.get().copied();
        key.ok_or_else(|| self.without_a_key())
    }

    /// Leaves them to the next claim: that takes code for connections of rusqlite.
    async fn place_all(&self, _: i64, _: &Held) -> Result<bool, StoreError> {
        let sql =
            "SELECT NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_lane WHERE lane = 0)";
        self.is(sql, &[]).await
    }
}

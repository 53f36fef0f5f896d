//! Reads the final content of the database with plain SQL: the checker does not trust the library
//! that it checks.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use outbox_runtime::rusqlite::{self, Connection, OpenFlags, types::ValueRef};
use uuid::Uuid;

/// One row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Event id.
    pub event: Uuid,
    /// User of the event.
    pub user: String,
    /// Entity of the event.
    pub entity: i64,
    /// Position in the store's order.
    pub seq: i64,
    /// Status, as in the column.
    pub status: String,
    /// Number of counted attempts.
    pub attempts: u32,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// Number of consecutive crashes.
    pub crashes: u32,
    /// Reason of a dead letter.
    pub dead_reason: Option<String>,
    /// Time of completion, in microseconds since 1970.
    pub completed_at: Option<i64>,
}

/// The parts of the database that the checker needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// The outbox rows, in the store's order.
    pub rows: Vec<Row>,
    /// Ids of the events whose change is in the application's own table.
    pub notes: Vec<Uuid>,
    /// Results of SQLite's integrity check, constraints included.
    pub damage: Vec<String>,
}

impl Database {
    /// Reads everything; a file without outbox tables is empty.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::try_read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Number of events with another status. Cheaper than reading everything.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn count_without(path: &Path, status: &str) -> u64 {
        let count = || -> rusqlite::Result<i64> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let sql = "SELECT count(*) FROM outbox WHERE status <> ?1";
            conn.query_row(sql, [status], |row| row.get(0))
        };
        let count = count().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count.unsigned_abs()
    }

    /// Number of announced runs.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn count_runs(path: &Path) -> u64 {
        let count = || -> rusqlite::Result<i64> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            conn.query_row("SELECT count(*) FROM outbox_runs", [], |row| row.get(0))
        };
        let count = count().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count.unsigned_abs()
    }

    /// Entities of all events that are neither delivered nor dead, read in one statement, so that
    /// nothing changes in between.
    ///
    /// Reading status by status could miss an event that changes its status in between: it may be
    /// with a dead process while the pending events are listed, and pending while the events in
    /// progress are listed.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn undelivered(path: &Path, busy_timeout: Duration) -> rusqlite::Result<BTreeSet<i64>> {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(busy_timeout)?;
        let sql = "SELECT DISTINCT CAST(entity_id AS INTEGER) FROM outbox WHERE status NOT IN ('completed', 'dead')";
        let entities: Vec<i64> = collect(&conn, sql, |row| row.get(0))?;
        Ok(entities.into_iter().collect())
    }

    fn try_read(path: &Path) -> rusqlite::Result<Self> {
        // Writable, because SQLite must replay the -wal of a killed process first.
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let there = |table: &str| -> rusqlite::Result<bool> {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";
            conn.query_row(sql, [table], |row| row.get(0))
        };
        let mut database = Self::default();
        if there("outbox_events")? {
            database.rows = collect(
                &conn,
                "SELECT event.id, event.user_id, CAST(event.entity_id AS INTEGER), event.seq, shown.status,
                     shown.attempt_count, event.max_attempts, event.completed_at, event.crashes, shown.dead_reason
                 FROM outbox_events AS event JOIN outbox AS shown USING (seq) ORDER BY event.seq",
                |row| {
                    Ok(Row {
                        event: row.get(0)?,
                        user: row.get(1)?,
                        entity: row.get(2)?,
                        seq: row.get(3)?,
                        status: row.get(4)?,
                        attempts: row.get(5)?,
                        max_attempts: row.get(6)?,
                        completed_at: row.get(7)?,
                        crashes: row.get(8)?,
                        dead_reason: row.get(9)?,
                    })
                },
            )?;
        }
        if there("note")? {
            database.notes = collect(&conn, "SELECT event FROM note", |row| {
                let ValueRef::Blob(bytes) = row.get_ref(0)? else {
                    return Ok(Uuid::nil());
                };
                Ok(Uuid::from_slice(bytes).unwrap_or_default())
            })?;
        }
        let found: Vec<String> = collect(&conn, "PRAGMA integrity_check", |row| row.get(0))?;
        database.damage = found.into_iter().filter(|line| line != "ok").collect();
        Ok(database)
    }
}

fn collect<T>(
    conn: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare(sql)?.query_map([], read)?.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use outbox_runtime::NewEvent;
    use outbox_runtime::prelude::*;
    use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};

    use super::Database;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn undelivered_includes_pending_leased_and_failed_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let request = ClaimRequest::new(1, SECOND);
        let now = store.clock().now();
        for (entity, disposition) in [
            (1, Some(Disposition::Complete)),
            (
                2,
                Some(Disposition::Bury {
                    reason: outbox_runtime::DeadReason::Rejected,
                    message: String::new(),
                }),
            ),
            (
                3,
                Some(Disposition::Fail {
                    next_attempt_at: now + 3_600 * SECOND,
                    message: String::new(),
                }),
            ),
            (4, None),
        ] {
            let event = NewEvent::new("task", entity, "u1", Operation::Update);
            store.create_event(event).await.unwrap();
            let claims = store.claim(&request).await.unwrap();
            let lease = claims[0].lease;
            let settlement = disposition.map(|disposition| Settlement { lease, disposition });
            store
                .settle(settlement.into_iter().collect())
                .await
                .unwrap();
        }
        let waiting = NewEvent::new("task", 5, "u1", Operation::Update);
        store.create_event(waiting).await.unwrap();
        let undelivered = Database::undelivered(&path, SECOND).unwrap();
        assert_eq!(undelivered, BTreeSet::from([3, 4, 5]));
        store.close().await;
    }
}

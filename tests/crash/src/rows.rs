//! What is in the database in the end, read by plain SQL: the checker does not trust the library that it checks.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use outbox_runtime::rusqlite::{self, Connection, OpenFlags, types::ValueRef};
use uuid::Uuid;

/// One row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The event's id.
    pub event: Uuid,
    /// Whose it is.
    pub user: String,
    /// Of which entity.
    pub entity: i64,
    /// Its place in the store's own order.
    pub seq: i64,
    /// As the column has it.
    pub status: String,
    /// Attempts that were counted.
    pub attempts: u32,
    /// Attempts that it had.
    pub max_attempts: u32,
    /// In how many attempts in a row a process died.
    pub crashes: u32,
    /// Why it is dead.
    pub dead_reason: Option<String>,
    /// Microseconds since 1970.
    pub completed_at: Option<i64>,
}

/// The database, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// The outbox, in its own order.
    pub rows: Vec<Row>,
    /// The events whose change is in the application's own table.
    pub notes: Vec<Uuid>,
    /// What SQLite finds wrong with the file, constraints included.
    pub damage: Vec<String>,
}

impl Database {
    /// Reads it all; a database that was never opened as a store is empty.
    ///
    /// # Panics
    ///
    /// Where it cannot be read at all.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::try_read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// How many events are not of this status. Cheaper than reading everything.
    ///
    /// # Panics
    ///
    /// Where it cannot be read.
    #[must_use]
    pub fn count_without(path: &Path, status: &str) -> u64 {
        let count = || -> rusqlite::Result<i64> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let sql = "SELECT count(*) FROM outbox_events WHERE status <> ?1";
            conn.query_row(sql, [status], |row| row.get(0))
        };
        let count = count().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count.unsigned_abs()
    }

    /// The entities of all that is neither delivered nor dead, by one statement, so that nothing
    /// moves meanwhile.
    ///
    /// Listed status by status, an event that changes its own in between is in none of the lists: a
    /// dead process has it when what is pending is listed, and it is pending when what processes
    /// have is.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub fn undelivered(path: &Path, busy_timeout: Duration) -> rusqlite::Result<BTreeSet<i64>> {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(busy_timeout)?;
        let sql = "SELECT DISTINCT entity_id FROM outbox_events WHERE status NOT IN ('completed', 'dead')";
        let entities: Vec<i64> = collect(&conn, sql, |row| row.get(0))?;
        Ok(entities.into_iter().collect())
    }

    fn try_read(path: &Path) -> rusqlite::Result<Self> {
        // Writable, as a -wal that a killed process left must be replayed first.
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let there = |table: &str| -> rusqlite::Result<bool> {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";
            conn.query_row(sql, [table], |row| row.get(0))
        };
        let mut database = Self::default();
        if there("outbox_events")? {
            database.rows = collect(
                &conn,
                "SELECT id, user_id, entity_id, seq, status, attempt_count, max_attempts, completed_at, crashes,
                     dead_reason
                 FROM outbox_events ORDER BY seq",
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
    async fn undelivered_is_what_waits_what_a_handler_has_and_what_is_tried_again() {
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

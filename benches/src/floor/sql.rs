//! The floor's table, in a file of its own, and its statements.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use outbox_runtime::rusqlite::{Connection, TransactionBehavior, named_params, params};
use uuid::Uuid;

use crate::entity::{Claimed, Row};

/// An event whose handler has returned.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) seq: i64,
}

/// The floor's connection and its fencing token.
#[derive(Debug)]
pub(super) struct Connected {
    conn: Connection,
    token: Uuid,
}

/// The columns that delivery needs, and the one index that claims need: the claimable rows, in
/// claim order. States: 0 claimable, 1 leased, 2 completed.
const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER NOT NULL PRIMARY KEY,
    id BLOB NOT NULL,
    event_type TEXT NOT NULL,
    entity_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    attempt_count INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    last_attempt_at INTEGER,
    completed_at INTEGER,
    lease_token BLOB,
    lease_expires_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS claimable ON events (priority DESC, next_attempt_at) WHERE state = 0;";

/// With one process, every lease in the file is from before it started.
const RECOVER: &str = "UPDATE events SET state = 0 WHERE state = 1";

const INSERT: &str = "\
INSERT INTO events
    (id, event_type, entity_id, user_id, operation, state, priority, created_at, next_attempt_at, attempt_count,
     max_attempts, metadata)
VALUES (:id, 'moodEntry', :entity, :user, 'create', 0, 5, :now, :now, 0, 5, :metadata)";

const CLAIM: &str = "\
UPDATE events
SET state = 1, attempt_count = attempt_count + 1, last_attempt_at = :now, lease_token = :token,
    lease_expires_at = :now + 60000000
WHERE seq IN (
    SELECT seq FROM events WHERE state = 0 AND next_attempt_at <= :now
    ORDER BY priority DESC, next_attempt_at, seq LIMIT :limit)
RETURNING seq, id, entity_id, user_id, metadata";

const COMPLETE: &str = "\
UPDATE events
SET state = 2, completed_at = ?2, lease_token = NULL, lease_expires_at = NULL
WHERE seq = ?1 AND lease_token = ?3";

/// As an application opens the floor's file.
pub(crate) fn connect(file: &Path) -> anyhow::Result<Connection> {
    let conn = Connection::open(file)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;",
    )?;
    conn.execute_batch(SCHEMA)?;
    Ok(conn)
}

impl Connected {
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let conn = connect(file)?;
        conn.execute(RECOVER, [])?;
        Ok(Self {
            conn,
            token: Uuid::new_v4(),
        })
    }

    /// Writes the rows in one transaction.
    pub(super) fn insert<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> anyhow::Result<()> {
        self.begin()?;
        for row in rows {
            insert(&self.conn, row)?;
        }
        self.commit()
    }

    /// Writes completions and claims up to `limit` events, in one transaction.
    pub(super) fn complete_and_claim(
        &self,
        done: &[Done],
        limit: usize,
    ) -> anyhow::Result<Vec<Claimed>> {
        self.begin()?;
        let now = now();
        let mut complete = self.conn.prepare_cached(COMPLETE)?;
        for event in done {
            complete.execute(params![event.seq, now, self.token])?;
        }
        let claimed = claim(&self.conn, self.token, limit)?;
        self.commit()?;
        Ok(claimed)
    }

    fn begin(&self) -> anyhow::Result<()> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit(&self) -> anyhow::Result<()> {
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// One insert in the current transaction.
pub(super) fn insert(conn: &Connection, row: &Row) -> anyhow::Result<()> {
    conn.prepare_cached(INSERT)?.execute(named_params! {
        ":id": row.id, ":entity": row.entity_id, ":user": row.user_id, ":metadata": row.metadata, ":now": now(),
    })?;
    Ok(())
}

/// One insert in its own transaction, on a connection of the application.
pub(crate) fn insert_alone(conn: &mut Connection, row: &Row) -> anyhow::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&tx, row)?;
    tx.commit()?;
    Ok(())
}

/// One claim in the current transaction.
pub(crate) fn claim(conn: &Connection, token: Uuid, limit: usize) -> anyhow::Result<Vec<Claimed>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare_cached(CLAIM)?;
    let rows = statement.query_map(
        named_params! { ":now": now(), ":token": token, ":limit": limit as i64 },
        |row| {
            Ok(Claimed {
                seq: row.get(0)?,
                id: row.get(1)?,
                entity_id: row.get(2)?,
                user_id: row.get(3)?,
                metadata: row.get(4)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Marks every event as completed, to prepare a measurement.
pub(super) fn complete_all(conn: &Connection) -> anyhow::Result<()> {
    conn.execute(
        "UPDATE events SET state = 2, attempt_count = 1, last_attempt_at = created_at, completed_at = created_at",
        [],
    )?;
    Ok(())
}

/// Number of events that are completed, or that are not.
pub(crate) fn count(conn: &Connection, completed: bool) -> anyhow::Result<usize> {
    let sql = "SELECT count(*) FROM events WHERE (state = 2) = ?1";
    let count: i64 = conn.query_row(sql, [completed], |row| row.get(0))?;
    Ok(usize::try_from(count)?)
}

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "the floor uses the system clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

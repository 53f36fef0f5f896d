//! The floor's statements, on the tables that the store made: the same row, in the same file
//! format.

use std::time::{SystemTime, UNIX_EPOCH};

use outbox_runtime::rusqlite::{Connection, TransactionBehavior, named_params, params};
use uuid::Uuid;

use super::Kind;
use crate::entity::{Claimed, Row};
use crate::scene::Scene;

/// An event whose handler has returned.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) seq: i64,
}

/// The floor's connection and its fencing token.
#[derive(Debug)]
pub(super) struct Connected {
    conn: Connection,
    kind: Kind,
    token: Uuid,
}

const INSERT_PLAIN: &str = "\
INSERT INTO outbox_events
    (id, event_type, entity_id, user_id, operation, status, priority, created_at, next_attempt_at, max_attempts,
     metadata, slot)
VALUES (:id, 'moodEntry', :entity, :user, 'create', 'pending', 5, :now, :now, 5, :metadata, 'ready')";

const INSERT_ORDERED: &str = "\
INSERT INTO outbox_events
    (id, event_type, entity_id, user_id, operation, status, priority, created_at, next_attempt_at, max_attempts,
     metadata, slot)
VALUES (:id, 'moodEntry', :entity, :user, 'create', 'pending', 5, :now, :now, 5, :metadata,
    CASE WHEN EXISTS (SELECT 1 FROM outbox_events WHERE entity_id = :entity AND user_id = :user AND lane IS NULL AND open IS NOT NULL)
        THEN 'blocked' ELSE 'ready' END)";

const CLAIM: &str = "\
UPDATE outbox_events
SET status = 'processing', slot = 'leased', attempt_count = attempt_count + 1, last_attempt_at = :now,
    lease_token = :token, lease_expires_at = :now + 60000000
WHERE seq IN (
    SELECT seq FROM outbox_events WHERE slot = 'ready' ORDER BY priority DESC, next_attempt_at, seq LIMIT :limit)
RETURNING seq, id, entity_id, user_id, metadata";

const COMPLETE: &str = "\
UPDATE outbox_events
SET status = 'completed', slot = NULL, open = NULL, completed_at = ?2, lease_token = NULL, lease_expires_at = NULL
WHERE seq = ?1 AND lease_token = ?3";

const UNBLOCK_NEXT: &str = "\
UPDATE outbox_events SET slot = 'ready'
WHERE slot = 'blocked' AND seq = (
    SELECT min(seq) FROM outbox_events
    WHERE open IS NOT NULL AND lane IS NULL
        AND (entity_id, user_id) = (SELECT entity_id, user_id FROM outbox_events WHERE seq = ?1))";

/// The floor ignores lanes: events that the store has blocked are claimable here.
const WITHOUT_ORDER: &str = "\
UPDATE outbox_events SET slot = 'ready' WHERE slot = 'blocked';
PRAGMA wal_checkpoint(TRUNCATE);";

/// Indices that only ordering, users, dead letters and clean-up need.
const WITHOUT_INDICES: &str = "\
DROP INDEX outbox_ready_user;
DROP INDEX outbox_entity;
DROP INDEX outbox_user;
DROP INDEX outbox_dead;
DROP INDEX outbox_completed;";

impl Connected {
    pub(super) fn open(scene: &Scene, kind: Kind) -> anyhow::Result<Self> {
        let conn = scene.connect()?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;",
        )?;
        if kind == Kind::Bare {
            conn.execute_batch(WITHOUT_INDICES)?;
        }
        if kind != Kind::Ordered {
            conn.execute_batch(WITHOUT_ORDER)?;
        }
        Ok(Self {
            conn,
            kind,
            token: Uuid::new_v4(),
        })
    }

    /// Writes the rows in one transaction.
    pub(super) fn insert<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> anyhow::Result<()> {
        self.begin()?;
        for row in rows {
            insert(&self.conn, self.kind, row)?;
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
        let mut unblock_next = self.conn.prepare_cached(UNBLOCK_NEXT)?;
        for event in done {
            complete.execute(params![event.seq, now, self.token])?;
            if self.kind == Kind::Ordered {
                unblock_next.execute([event.seq])?;
            }
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
fn insert(conn: &Connection, kind: Kind, row: &Row) -> anyhow::Result<()> {
    let sql = match kind {
        Kind::Bare | Kind::Plain => INSERT_PLAIN,
        Kind::Ordered => INSERT_ORDERED,
    };
    conn.prepare_cached(sql)?.execute(named_params! {
        ":id": row.id, ":entity": row.entity_id, ":user": row.user_id, ":metadata": row.metadata, ":now": now(),
    })?;
    Ok(())
}

/// One insert in its own transaction, on a connection of the application.
pub(crate) fn insert_alone(conn: &mut Connection, kind: Kind, row: &Row) -> anyhow::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&tx, kind, row)?;
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

/// Microseconds since 1970, as in the columns.
#[allow(clippy::disallowed_methods, reason = "the floor uses the system clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

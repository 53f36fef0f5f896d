//! Parents: the creations that an event waits for, although they are not in its lane.
//!
//! Enqueueing does not look for them. A claim steps over a candidate whose parents hold it back, and
//! then lets it wait: it gets the slot `h`, in which it holds its lane back, and an entry in the
//! table `waits`, and the creation is marked. Whoever completes a marked creation leaves a note,
//! and the next claim takes that up: it makes the children candidates again, in a statement that
//! sees all entries, because they were written before the mark was. A child that is made a
//! candidate too early is stepped over again, which is always safe.

use std::sync::{Mutex, PoisonError};

use outbox_runtime::StoreError;
use tokio_postgres::Transaction;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::fault::{fault, is_collision};
use crate::store::{PostgresStore, prepared};

/// The creations that the row `e` waits for, as `o`, with the parent `p` of each.
pub(crate) const CREATIONS: &str =
    "jsonb_path_query(e.parents, '$[*]') p, LATERAL (SELECT {s}.lane('e', e.user_id, p ->> 'entityID') AS l) z,
    LATERAL (SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot IN ('r', 'w', 'h')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot = 'b'
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot = 'l' AND x.slot IN ('l', 'n')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.entity_lane = z.l AND x.slot IN ('r', 'w', 'b', 'l', 'h')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.entity_id = p ->> 'entityID' AND x.status = 'd') o
WHERE o.operation = 'c' AND o.seq < e.seq AND o.user_id = e.user_id AND o.entity_id = p ->> 'entityID'
    AND (o.event_type = p ->> 'eventType' OR p -> 'aliases' ? o.event_type) AND {holds}";

/// Whether the creation `o` holds the event `e` back.
pub(crate) const HOLDS: &str = "(o.status::text IN ('p', 'f', 'i')
    OR o.status::text = 'd' AND e.on_dead = 'h' AND o.dead_reason IS DISTINCT FROM 'expired')";

/// Whether the row `e` waits for a parent. One that was attempted has waited for all of them.
pub(crate) const WAITS: &str = "(e.parents IS NOT NULL AND e.last_attempt_at IS NULL
    AND EXISTS (SELECT 1 FROM {creations}))";

/// Lets the candidates `$1` wait for their parents: for one each, whose row it holds locked
/// meanwhile. Whoever ends that creation waits for this, and sees the mark then. A creation that
/// somebody holds locked is left alone, and so are its children. A child that is itself the parent
/// of another one here waits from the next time.
pub(crate) const WAIT: &str = "WITH c AS MATERIALIZED (SELECT e.id AS child, o.id AS creation FROM {s}.events e, {creations}
    AND e.id = ANY ($1) AND e.slot::text = 'r' AND e.parents IS NOT NULL AND e.last_attempt_at IS NULL),
o AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.id IN (SELECT c.creation FROM c)
    AND e.status::text <> 'c' ORDER BY e.id FOR NO KEY UPDATE OF e SKIP LOCKED),
k AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.id IN (SELECT c.child FROM c JOIN o ON o.id = c.creation)
    AND e.id NOT IN (SELECT o.id FROM o) AND e.slot::text = 'r' FOR NO KEY UPDATE OF e SKIP LOCKED),
m AS (UPDATE {s}.events e SET awaited = true FROM o WHERE e.id = o.id AND e.awaited IS NOT TRUE),
w AS (INSERT INTO {s}.waits (creation, child)
    SELECT DISTINCT c.creation, c.child FROM c JOIN o ON o.id = c.creation JOIN k ON k.id = c.child
    ON CONFLICT DO NOTHING)
UPDATE {s}.events e SET slot = 'h' FROM k WHERE e.id = k.id";

/// Whether the row `e` waits in the slot `h`.
pub(crate) const WAITING: &str = "e.slot::text = 'h' AND e.status::text IN ('p', 'f')";

/// Makes candidates of the events that wait for the creations `$1`, which are completed. Returns
/// the creations some of whose children somebody holds locked.
pub(crate) const FREE: &str = "WITH w AS MATERIALIZED (SELECT w.creation, w.child FROM {s}.waits w WHERE w.creation = ANY ($1)),
k AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.id IN (SELECT w.child FROM w) AND {waiting}
    FOR NO KEY UPDATE OF e SKIP LOCKED),
l AS MATERIALIZED (SELECT w.creation, w.child FROM w JOIN {s}.events e ON e.id = w.child
    WHERE {waiting} AND e.id NOT IN (SELECT k.id FROM k)),
d AS (DELETE FROM {s}.waits x USING w WHERE x.creation = w.creation AND x.child = w.child
    AND w.child NOT IN (SELECT l.child FROM l)),
u AS (UPDATE {s}.events e SET slot = {unblocked} FROM k WHERE e.id = k.id)
SELECT DISTINCT l.creation FROM l";

/// Makes candidates of the events that waited for the creations `$1`, which are gone. It waits for
/// locks, because there is no row left to keep a note.
pub(crate) const FREE_OF_GONE: &str =
    "WITH w AS (DELETE FROM {s}.waits w WHERE w.creation = ANY ($1) RETURNING w.child)
UPDATE {s}.events e SET slot = {unblocked} FROM w WHERE e.id = w.child AND {waiting}";

/// Makes candidates of the events among some entries after `$2` that wait for nothing: somebody held
/// them locked when their parent ended, or other SQL ended that. Returns the last entry that was
/// looked at, and how many events it has freed.
const SWEEP: &str = "WITH s AS MATERIALIZED (SELECT w.creation, w.child FROM {s}.waits w WHERE w.creation > $2
    ORDER BY w.creation, w.child LIMIT 200),
w AS MATERIALIZED (SELECT s.creation, s.child FROM s LEFT JOIN {s}.events e ON e.id = s.child
    LEFT JOIN {s}.events o ON o.id = s.creation
    WHERE o.id IS NULL OR e.id IS NULL OR NOT {holds}),
k AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.id IN (SELECT w.child FROM w) AND {waiting}
    FOR NO KEY UPDATE OF e SKIP LOCKED),
d AS (DELETE FROM {s}.waits x USING w WHERE x.creation = w.creation AND x.child = w.child
    AND (w.child IN (SELECT k.id FROM k)
        OR NOT EXISTS (SELECT 1 FROM {s}.events e WHERE e.id = w.child AND {waiting}))),
u AS (UPDATE {s}.events e SET slot = {unblocked} FROM k WHERE e.id = k.id RETURNING 1)
SELECT CASE WHEN count(*) = 200 THEN (array_agg(s.creation ORDER BY s.creation DESC))[1] END, (SELECT count(*) FROM u)
FROM s";

/// Where the next sweep begins.
#[derive(Debug, Default)]
pub(crate) struct Swept(Mutex<Uuid>);

/// JSON as the text that it was stored as.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) String);

impl<'r> FromSql<'r> for Json {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // The binary form has a version in front.
        let text = raw.get(1..).unwrap_or_default();
        Ok(Self(std::str::from_utf8(text)?.to_owned()))
    }

    fn accepts(of_type: &Type) -> bool {
        *of_type == Type::JSONB
    }
}

impl PostgresStore {
    /// Lets candidates wait for their parents, in a transaction of its own. Returns how many.
    pub(crate) async fn let_wait(&self, candidates: &[Uuid]) -> Result<u64, StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let wait = prepared(&client, OPERATION, &self.shared.sql.wait).await?;
        match client.execute(&wait, &[&candidates]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            waiting => Ok(waiting.unwrap_or_default()),
        }
    }

    /// Frees some of the events that wait for nothing any more. Returns their number.
    pub(crate) async fn sweep_waits(
        &self,
        transaction: &Transaction<'_>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<u64, tokio_postgres::Error> {
        let swept = &self.shared.swept.0;
        let after = *swept.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = self.shared.sql.unblocking(SWEEP, "$1");
        let row = transaction.query_one(&sql, &[&now, &after]).await?;
        let last: Option<Uuid> = row.try_get(0)?;
        *swept.lock().unwrap_or_else(PoisonError::into_inner) = last.unwrap_or_default();
        let freed: i64 = row.try_get(1)?;
        Ok(u64::try_from(freed).unwrap_or_default())
    }
}

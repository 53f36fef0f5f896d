//! The statements about parents, and what a store knows of them: see [`waits`](crate::waits).

use std::sync::Mutex;

use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

/// The creations that the row `e` waits for, as `o`, with the parent `p` of each.
pub(crate) const CREATIONS: &str =
    "jsonb_path_query(e.parents, '$[*]') p, LATERAL (SELECT {s}.lane('e', e.user_id, p ->> 'entityID') AS l) z,
    LATERAL (SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot IN ('r', 'w', 'h')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot = 'b'
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot = 'l' AND x.slot IN ('l', 'n')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.lane = z.l AND x.slot = 'f'
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.entity_lane = z.l AND x.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
        UNION ALL SELECT x.* FROM {s}.events x WHERE x.entity_id = p ->> 'entityID' AND x.status = 'd') o
WHERE o.operation = 'c' AND o.seq < e.seq AND o.user_id = e.user_id AND o.entity_id = p ->> 'entityID'
    AND (o.event_type = p ->> 'eventType' OR p -> 'aliases' ? o.event_type) AND {holds}";

/// Whether the creation `o` holds the event `e` back. One that was dead, left the event free and
/// was retried does not.
pub(crate) const HOLDS: &str = "(o.status::text IN ('p', 'f', 'i')
        AND (o.freed IS NULL OR coalesce(e.seq > o.freed[CASE e.on_dead WHEN 's' THEN 1 ELSE 2 END], true))
    OR o.status::text = 'd' AND e.on_dead = 'h' AND o.dead_reason IS DISTINCT FROM 'expired')";

/// Whether the row `e` waits for a parent. One that was attempted has waited for all of them.
pub(crate) const WAITS: &str = "(e.parents IS NOT NULL AND e.last_attempt_at IS NULL
    AND EXISTS (SELECT 1 FROM {creations}))";

/// Lets the candidates `$1` wait for their parents: for one each, whose row it holds locked
/// meanwhile. A transaction that ends that creation waits for this, and sees the mark then. A
/// creation that somebody holds locked is left alone, and so are its children. A child that is
/// itself the parent of another one here waits from the next time.
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
    "WITH w AS (DELETE FROM {s}.waits w WHERE w.creation = ANY ($1::text::uuid[]) RETURNING w.child)
UPDATE {s}.events e SET slot = {unblocked} FROM w WHERE e.id = w.child AND {waiting} RETURNING 1::bigint";

/// Where the next sweep begins.
#[derive(Debug, Default)]
pub(crate) struct Swept(pub(crate) Mutex<Uuid>);

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

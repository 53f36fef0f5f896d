//! Deleting events on a connection, and unblocking what waited for them.

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::sql::Sql;

/// Deletes the rows that `{which}` selects. Locks are taken in the order of `seq`, so that two bulk
/// deletions do not wait for each other.
const DELETE: &str = "WITH k AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE {which} ORDER BY e.seq FOR UPDATE OF e),
d AS (DELETE FROM {s}.events e USING k WHERE e.id = k.id
    RETURNING e.id, e.seq, e.lane, e.slot, e.status, e.user_id, e.entity_id, e.last_attempt_at, e.attempt_count, e.awaited),
y AS (INSERT INTO {s}.tally_delta SELECT {block},
    -count(*) FILTER (WHERE status = 'p' OR status = 'i' AND attempt_count <= 1),
    -count(*) FILTER (WHERE status = 'f' OR status = 'i' AND attempt_count > 1),
    -count(*) FILTER (WHERE status = 'c'), -count(*) FILTER (WHERE status = 'd') FROM d GROUP BY 1),
f AS (DELETE FROM {s}.folded f USING d WHERE f.into_id = d.id),
t AS (INSERT INTO {s}.told (user_end, entity_end)
    SELECT DISTINCT right(d.user_id, 4), right(d.entity_id, 4) FROM d
    WHERE d.last_attempt_at IS NOT NULL OR d.attempt_count > 0 ORDER BY 1, 2 ON CONFLICT DO NOTHING)
SELECT count(*), array_agg(DISTINCT d.lane) FILTER (WHERE d.lane IS NOT NULL AND d.slot IS NOT NULL),
    array_agg(d.id) FILTER (WHERE d.awaited) FROM d";

/// A value of a statement, with its type.
pub(crate) type Typed<'p> = (&'p (dyn ToSql + Sync), Type);

/// Deletes the events that the condition on `e` selects, in the transaction that is open on the
/// connection, and unblocks what waited for them. Nothing is prepared by name: the connection may
/// be the caller's, with a pooler between that gives each transaction another session.
pub(crate) async fn remove_on(
    client: &impl GenericClient,
    sql: &Sql,
    now: DateTime<Utc>,
    which: &str,
    params: &[Typed<'_>],
) -> Result<u64, tokio_postgres::Error> {
    let delete = sql.text(&DELETE.replace("{which}", which));
    let row = client.query_typed_one(&delete, params).await?;
    let count: i64 = row.try_get(0)?;
    let lanes: Option<Vec<i64>> = row.try_get(1)?;
    if let Some(lanes) = lanes {
        let params: [Typed<'_>; 2] = [(&lanes, Type::INT8_ARRAY), (&now, Type::TIMESTAMPTZ)];
        let mut gone: i64 = 1;
        while gone > 0 {
            let row = client.query_typed_one(&sql.unblock, &params).await?;
            gone = row.try_get(0)?;
        }
    }
    let awaited: Option<Vec<Uuid>> = row.try_get(2)?;
    if let Some(awaited) = awaited {
        let params: [Typed<'_>; 2] = [(&awaited, Type::UUID_ARRAY), (&now, Type::TIMESTAMPTZ)];
        client.query_typed(&sql.free_of_gone, &params).await?;
    }
    Ok(u64::try_from(count).unwrap_or_default())
}

//! Deleting events on a connection, and unblocking what waited for them.

use outbox_runtime::StoreError;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::on_client::OnClient;
use crate::session::Session;
use crate::value::{array, text, time};

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
SELECT count(*), (array_agg(DISTINCT d.lane) FILTER (WHERE d.lane IS NOT NULL AND d.slot IS NOT NULL))::text,
    (array_agg(d.id) FILTER (WHERE d.awaited))::text FROM d";

/// A value of a statement, with its type.
pub(crate) type Typed<'p> = (&'p (dyn ToSql + Sync), Type);

/// Deletes the events that the condition on `e` selects, and unblocks what waited for them.
pub(crate) async fn remove_on<C: GenericClient + Sync>(
    session: &OnClient<'_, C>,
    which: &str,
    params: &[Typed<'_>],
) -> Result<u64, StoreError> {
    let storage = |error| session.fault(error);
    let delete = session.sql.text(&DELETE.replace("{which}", which));
    let row = session.client.query_typed_one(&delete, params).await;
    let row = row.map_err(storage)?;
    let count: i64 = row.try_get(0).map_err(storage)?;
    let lanes: Option<&str> = row.try_get(1).map_err(storage)?;
    let awaited: Option<&str> = row.try_get(2).map_err(storage)?;
    unblock(session, lanes, awaited).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Deletes these events on a connection of any driver, and unblocks what waited for them.
pub(crate) async fn remove_ids<S: Session>(session: &S, ids: &[Uuid]) -> Result<(), StoreError> {
    let delete = DELETE.replace("{which}", "e.id = ANY ($1::text::uuid[])");
    let delete = session.sql().text(&delete);
    let rows = session.rows(delete, vec![array(ids.iter())]).await?;
    match rows.first() {
        Some(row) => unblock(session, row.text(1), row.text(2)).await,
        None => Ok(()),
    }
}

/// Unblocks what waited in these lanes, and for these events, which are gone.
async fn unblock<S: Session>(
    session: &S,
    lanes: Option<&str>,
    awaited: Option<&str>,
) -> Result<(), StoreError> {
    if let Some(lanes) = lanes {
        let mut gone = 1;
        while gone > 0 {
            let params = vec![text(lanes), time(session.now())];
            let rows = session.rows(session.sql().unblock.clone(), params).await?;
            gone = rows.first().and_then(|row| row.integer(0)).unwrap_or(0);
        }
    }
    if let Some(awaited) = awaited {
        let params = vec![text(awaited), time(session.now())];
        session
            .rows(session.sql().free_of_gone.clone(), params)
            .await?;
    }
    Ok(())
}

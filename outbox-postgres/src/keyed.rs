//! Events with a key, and cancellations, on a connection.
//!
//! Two transactions that enqueue the same key at the same time would not see each other's event, so
//! the first holds a lock on the key until it ends.

use chrono::{DateTime, Utc};
use outbox_runtime::{
    Cancel, Canceled, EnqueueError, Enqueued, NewEvent, OnSameKey, OutboxEvent, StoreError,
    StoreErrorKind,
};
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::fault::callers_fault;
use crate::insert::{Values, insert_row, known};
use crate::lane;
use crate::remove::{Typed, remove_on};
use crate::row;
use crate::sql::Sql;
use crate::transaction::{begin_savepoint, end_savepoint};

/// Waits for other transactions that enqueue with the key `$2` of the user `$1`.
const LOCK_KEY: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended(octet_length($1) || ':' || $1 || $2, {class}))";

/// Whether each statement of the transaction sees what was committed before it.
const SEES_COMMITS: &str =
    "SELECT current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')";

/// The unclaimed events of the user `$1` with the key `$2`. It waits for a claim that has one of
/// them locked, and then sees what became of it. It locks none that a handler has: its outcome
/// would wait for this transaction.
const WITH_KEY: &str =
    "SELECT {columns_e} FROM {s}.events e WHERE e.user_id = $1 AND e.dedup_key = $2
    AND (e.slot IN ('r', 'w', 'b') OR {waiting}) ORDER BY e.seq FOR UPDATE OF e";

/// The other events of the user `$1` with the key `$2`.
const TOO_LATE_WITH_KEY: &str =
    "SELECT {columns_e} FROM {s}.events e WHERE e.user_id = $1 AND e.dedup_key = $2
    AND (e.slot IN ('r', 'w', 'b') OR {waiting}) IS NOT TRUE
ORDER BY e.seq";

/// The undelivered and dead events of the user `$1` about the entity `$2`, whose lane in the
/// default order is `$3`; of them the unclaimed ones are selected with a lock, and then the others.
const UNDELIVERED: &str = "SELECT {columns_e} FROM {s}.events e JOIN (
    SELECT o.id FROM {s}.events o WHERE o.lane = $3 AND o.slot IN ('r', 'w', 'h')
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'b'
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'l' AND o.slot IN ('l', 'n')
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'f'
    UNION SELECT o.id FROM {s}.events o WHERE o.entity_lane = $3 AND o.entity_lane IS NOT NULL
        AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
    UNION SELECT o.id FROM {s}.events o WHERE o.entity_id = $2 AND o.status = 'd'
) x ON x.id = e.id WHERE e.user_id = $1 AND e.entity_id = $2 AND e.status <> 'c' AND {which}";

const UNCLAIMED: &str = "(e.slot IN ('r', 'w', 'b') OR {waiting}) ORDER BY e.seq FOR UPDATE OF e";
const CLAIMED: &str = "(e.slot IN ('r', 'w', 'b') OR {waiting}) IS NOT TRUE
ORDER BY e.seq";

const NAME: &str = "UPDATE {s}.events e SET dedup_key = $2 WHERE e.id = $1";

/// Lets the event `$1` carry the events `$2`, with the fingerprints `$3`, and what they carry.
const CARRY_OVER: &str =
    "WITH moved AS (UPDATE {s}.folded f SET into_id = $1 WHERE f.into_id = ANY ($2))
INSERT INTO {s}.folded (id, into_id, fingerprint)
SELECT n.id, $1, n.fingerprint FROM unnest($2, $3) n(id, fingerprint) ON CONFLICT (id) DO NOTHING";

fn storage(error: tokio_postgres::Error) -> EnqueueError {
    callers_fault("enqueue", error).into()
}

const SAVEPOINT: &str = "outbox_key";

/// Enqueues an event that has a key.
pub(crate) async fn enqueue<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    if !is_transaction {
        let message = "an event with a key is enqueued in a transaction only; begin one";
        return Err(StoreError::new(StoreErrorKind::NotAllowedHere, "enqueue", message).into());
    }
    let begun = begin_savepoint(client, SAVEPOINT).await;
    begun.map_err(storage)?;
    let enqueued = in_savepoint(client, sql, now, event).await;
    let ended = end_savepoint(client, SAVEPOINT, enqueued.is_ok()).await;
    ended.map_err(storage)?;
    enqueued
}

async fn in_savepoint<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    now: Option<DateTime<Utc>>,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    let (id, user_id) = (event.id(), event.user_id());
    let key = event.key().unwrap_or_default();
    let of_key: [(&(dyn ToSql + Sync), Type); 2] = [(&user_id, Type::TEXT), (&key, Type::TEXT)];
    if !sees_commits(client).await.map_err(storage)? {
        return Err(of_old_snapshot("enqueue").into());
    }
    let locked = client.query_typed(&sql.text(LOCK_KEY), &of_key).await;
    locked.map_err(storage)?;
    let mut answers = known(client, sql, &[event]).await.map_err(storage)?;
    if let Some(answer) = answers.remove(&id) {
        return answer;
    }
    let rows = client.query_typed(&sql.text(WITH_KEY), &of_key).await;
    let mut waiting = rows
        .and_then(|rows| row::read_all(&rows))
        .map_err(storage)?;
    waiting.retain(is_unclaimed);
    if let (OnSameKey::Keep, Some(kept)) = (event.on_same_key(), waiting.last()) {
        let ids = vec![(id, event.fingerprint())];
        carry_over(client, sql, kept.id, ids).await?;
        return Ok(Enqueued::Kept {
            event_id: id,
            kept: kept.id,
        });
    }
    let written = insert_row(client, sql, &Values::of(event), now).await;
    if !written.map_err(storage)? {
        let mut answers = known(client, sql, &[event]).await.map_err(storage)?;
        return answers
            .remove(&id)
            .unwrap_or(Err(EnqueueError::Conflict { event_id: id }));
    }
    let name = sql.text(NAME);
    let of_event: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (&key, Type::TEXT)];
    let named = client.query_typed(&name, &of_event).await;
    named.map_err(storage)?;
    let Some(replaced) = waiting.last().map(|old| old.id) else {
        return Ok(Enqueued::New(id));
    };
    let old = waiting.iter().map(|old| (old.id, old.fingerprint()));
    carry_over(client, sql, id, old.collect()).await?;
    let ids: Vec<Uuid> = waiting.iter().map(|old| old.id).collect();
    remove(client, sql, now, &ids).await.map_err(storage)?;
    Ok(Enqueued::Replaced {
        event_id: id,
        replaced,
    })
}

/// Whether the transaction sees what others commit meanwhile. In an older snapshot an event with
/// the same key, or one that waits behind a deleted one, would be missed.
pub(crate) async fn sees_commits<C: GenericClient + Sync>(
    client: &C,
) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_typed_one(SEES_COMMITS, &[]).await?;
    row.try_get(0)
}

/// The error of a transaction that does not.
pub(crate) fn of_old_snapshot(operation: &'static str) -> StoreError {
    let message = "events are replaced and canceled at the isolation level READ COMMITTED only; \
                   begin such a transaction";
    StoreError::new(StoreErrorKind::NotAllowedHere, operation, message)
}

/// Whether the event was never claimed.
fn is_unclaimed(event: &OutboxEvent) -> bool {
    Canceled::default().add(event)
}

async fn carry_over<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    into: Uuid,
    carried: Vec<(Uuid, i64)>,
) -> Result<(), EnqueueError> {
    let (ids, fingerprints): (Vec<Uuid>, Vec<i64>) = carried.into_iter().unzip();
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&into, Type::UUID),
        (&ids, Type::UUID_ARRAY),
        (&fingerprints, Type::INT8_ARRAY),
    ];
    let carried = client.query_typed(&sql.text(CARRY_OVER), &params).await;
    carried.map(drop).map_err(storage)
}

/// Deletes events and unblocks what waited for them. Without `now`, by the server's clock.
async fn remove<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    now: Option<DateTime<Utc>>,
    ids: &[Uuid],
) -> Result<(), tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = match now {
        Some(now) => now,
        None => {
            let row = client
                .query_typed_one("SELECT statement_timestamp()", &[])
                .await?;
            row.try_get(0)?
        }
    };
    let of_events: [Typed<'_>; 1] = [(&ids, Type::UUID_ARRAY)];
    remove_on(client, sql, now, "e.id = ANY ($1)", &of_events).await?;
    let wake = sql.text("SELECT {s}.wake()");
    client.query_typed(&wake, &[]).await.map(drop)
}

/// Deletes the unclaimed ones among the events that `cancel` selects, in the transaction that is
/// open on the connection.
pub(crate) async fn cancel_on<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    now: Option<DateTime<Utc>>,
    cancel: &Cancel,
) -> Result<Canceled, tokio_postgres::Error> {
    let user_id = cancel.user_id();
    let mut rows = Vec::new();
    match (cancel.of_key(), cancel.of_entity()) {
        (Some(key), _) => {
            for select in [WITH_KEY, TOO_LATE_WITH_KEY] {
                let params: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&user_id, Type::TEXT), (&key, Type::TEXT)];
                rows.extend(client.query_typed(&sql.text(select), &params).await?);
            }
        }
        (None, Some(entity_id)) => {
            let entity_id = entity_id.to_string();
            let lane = lane::of_entity(user_id, &entity_id);
            for which in [UNCLAIMED, CLAIMED] {
                let select = sql.text(&UNDELIVERED.replace("{which}", which));
                let params: [(&(dyn ToSql + Sync), Type); 3] = [
                    (&user_id, Type::TEXT),
                    (&entity_id, Type::TEXT),
                    (&lane, Type::INT8),
                ];
                rows.extend(client.query_typed(&select, &params).await?);
            }
        }
        (None, None) => {}
    }
    let mut canceled = Canceled::default();
    for event in row::read_all(&rows)? {
        canceled.add(&event);
    }
    remove(client, sql, now, &canceled.canceled).await?;
    Ok(canceled)
}

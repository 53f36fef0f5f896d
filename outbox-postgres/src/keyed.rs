//! Events with a key, and cancellations, on a connection of any driver.
//!
//! Two transactions that enqueue the same key at the same time would not see each other's event, so
//! the first holds a lock on the key until it ends.

use chrono::{DateTime, Utc};
use outbox_runtime::{
    Cancel, Canceled, EnqueueError, Enqueued, NewEvent, OnSameKey, Operation, OutboxEvent,
    StoreError, StoreErrorKind,
};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::fault::callers_fault;
use crate::lane;
use crate::on_client::OnClient;
use crate::remove::remove_ids;
use crate::session::{CONTENT, Session, event_of, unreadable};
use crate::sql::Sql;
use crate::transaction::{begin_savepoint, end_savepoint};
use crate::value::{Columns, PostgresValue, array, integer, text, uuid};

/// Waits for other transactions that enqueue with the key `$2` of the user `$1`.
const LOCK_KEY: &str = "SELECT pg_advisory_xact_lock(hashtextextended(octet_length($1) || ':' || $1 || $2, {class}))::text";

/// Whether each statement of the transaction sees what was committed before it.
const SEES_COMMITS: &str = "SELECT (current_setting('transaction_isolation') IN ('read committed', 'read uncommitted'))::integer::bigint";

/// The unclaimed events of the user `$1` with the key `$2`. It waits for a claim that has one of
/// them locked, and then sees what became of it. It locks none that a handler has: its outcome
/// would wait for this transaction.
const WITH_KEY: &str =
    "SELECT {content} FROM {s}.events e WHERE e.user_id = $1 AND e.dedup_key = $2
    AND (e.slot IN ('r', 'w', 'b') OR {waiting}) ORDER BY e.seq FOR UPDATE OF e";

/// The other events of the user `$1` with the key `$2`.
const TOO_LATE_WITH_KEY: &str =
    "SELECT {content} FROM {s}.events e WHERE e.user_id = $1 AND e.dedup_key = $2
    AND (e.slot IN ('r', 'w', 'b') OR {waiting}) IS NOT TRUE
ORDER BY e.seq";

/// The undelivered and dead events of the user `$1` about the entity `$2`, whose lane in the
/// default order is `$3`; of them the unclaimed ones are selected with a lock, and then the others.
const UNDELIVERED: &str = "SELECT {content} FROM {s}.events e JOIN (
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

const NAME: &str =
    "UPDATE {s}.events e SET dedup_key = $2 WHERE e.id = $1::text::uuid RETURNING 1::bigint";

/// Lets the event `$1` carry the events `$2`, with the fingerprints `$3`, and what they carry.
const CARRY_OVER: &str =
    "WITH moved AS (UPDATE {s}.folded f SET into_id = $1::text::uuid WHERE f.into_id = ANY ($2::text::uuid[]))
INSERT INTO {s}.folded (id, into_id, fingerprint)
SELECT n.id, $1::text::uuid, n.fingerprint
FROM unnest($2::text::uuid[], $3::text::bigint[]) n(id, fingerprint) ON CONFLICT (id) DO NOTHING RETURNING 1::bigint";

/// Moves the event `$1`, which was just written, to the place of the first of the events `$2` that
/// it may take the place of: its `seq`, and the time at which that one was enqueued, which bounds
/// those of its block. It decides as `takes_place` does, which needs more columns than the rows
/// with the key are read with. No row is updated, so a role that only enqueues may do this. Its
/// lane and its parents are looked at by the next claim.
const TAKE_PLACE: &str = "WITH o AS MATERIALIZED (SELECT o.seq, o.created_at FROM {s}.events o JOIN {s}.events n
        ON n.id = $1::text::uuid AND n.event_type = o.event_type AND n.entity_id = o.entity_id AND n.user_id = o.user_id
            AND n.lane_order = o.lane_order AND n.on_dead = o.on_dead AND n.parents IS NOT DISTINCT FROM o.parents
    WHERE o.id = ANY ($2::text::uuid[]) AND o.operation = 'c' AND n.operation = 'c' ORDER BY o.seq LIMIT 1),
n AS (DELETE FROM {s}.events e USING o WHERE e.id = $1::text::uuid RETURNING e.*),
y AS (INSERT INTO {s}.tally_delta SELECT o.{block}, 1, 0, 0, 0 FROM o)
INSERT INTO {s}.events (id, seq, lane, entity_lane, lane_order, event_type, operation, user_id, entity_id, priority,
    max_attempts, metadata, metadata_version, on_dead, destination, trace_context, headers, expires_at, dedup_key,
    parents, slot, created_at, due)
OVERRIDING SYSTEM VALUE
SELECT n.id, o.seq, n.lane, n.entity_lane, n.lane_order, n.event_type, n.operation, n.user_id, n.entity_id, n.priority,
    n.max_attempts, n.metadata, n.metadata_version, n.on_dead, n.destination, n.trace_context, n.headers, n.expires_at,
    n.dedup_key, n.parents, n.slot, o.created_at, CASE WHEN n.due <= n.created_at THEN o.created_at ELSE n.due END
FROM n, o RETURNING 1::bigint";

const WAKE: &str = "SELECT {s}.wake()::text";

const SAVEPOINT: &str = "outbox_key";

/// Enqueues an event that has a key, on a connection of tokio-postgres.
pub(crate) async fn enqueue<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    const OPERATION: &str = "enqueue";
    if !is_transaction {
        let message = "an event with a key is enqueued in a transaction only; begin one";
        return Err(StoreError::new(StoreErrorKind::NotAllowedHere, OPERATION, message).into());
    }
    let session = OnClient {
        client,
        sql,
        now,
        operation: OPERATION,
        fault: callers_fault,
    };
    let storage = |error| session.fault(error);
    let begun = begin_savepoint(client, SAVEPOINT).await;
    begun.map_err(storage)?;
    let enqueued = enqueue_on(&session, event).await;
    let ended = end_savepoint(client, SAVEPOINT, enqueued.is_ok()).await;
    ended.map_err(storage)?;
    enqueued
}

/// Enqueues an event that has a key. After an error, writes may be left behind.
pub(crate) async fn enqueue_on<S: Session>(
    session: &S,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    let (id, user_id) = (event.id(), event.user_id());
    let key = event.key().unwrap_or_default();
    sees_commits(session).await?;
    run(session, LOCK_KEY, vec![text(user_id), text(key)]).await?;
    if let Some(answer) = session.known(event).await? {
        return answer;
    }
    let mut waiting = events(session, WITH_KEY, vec![text(user_id), text(key)]).await?;
    waiting.retain(is_unclaimed);
    if let (OnSameKey::Keep, Some(kept)) = (event.on_same_key(), waiting.last()) {
        carry_over(session, kept.id, &[(id, event.fingerprint())]).await?;
        return Ok(Enqueued::Kept {
            event_id: id,
            kept: kept.id,
        });
    }
    if !session.insert(event).await? {
        let known = session.known(event).await?;
        return known.unwrap_or(Err(EnqueueError::Conflict { event_id: id }));
    }
    run(session, NAME, vec![uuid(id), text(key)]).await?;
    let Some(replaced) = waiting.last().map(|old| old.id) else {
        return Ok(Enqueued::New(id));
    };
    let old: Vec<(Uuid, i64)> = waiting
        .iter()
        .map(|old| (old.id, old.fingerprint()))
        .collect();
    carry_over(session, id, &old).await?;
    let ids: Vec<Uuid> = waiting.iter().map(|old| old.id).collect();
    if event.operation() == Operation::Create {
        run(session, TAKE_PLACE, vec![uuid(id), array(ids.iter())]).await?;
    }
    remove(session, &ids).await?;
    Ok(Enqueued::Replaced {
        event_id: id,
        replaced,
    })
}

/// An error unless the transaction sees what others commit meanwhile. In an older snapshot an event
/// with the same key, or one that waits behind a deleted one, would be missed.
async fn sees_commits<S: Session>(session: &S) -> Result<(), StoreError> {
    let rows = run(session, SEES_COMMITS, Vec::new()).await?;
    if rows.first().and_then(|row| row.integer(0)) == Some(1) {
        return Ok(());
    }
    let message = "events are replaced and canceled at the isolation level READ COMMITTED only; \
                   begin such a transaction";
    Err(StoreError::new(
        StoreErrorKind::NotAllowedHere,
        session.operation(),
        message,
    ))
}

async fn run<S: Session>(
    session: &S,
    template: &str,
    params: Vec<PostgresValue>,
) -> Result<Vec<Columns>, StoreError> {
    session.rows(session.sql().text(template), params).await
}

/// The events that a statement selects, as far as [`CONTENT`] tells.
async fn events<S: Session>(
    session: &S,
    template: &str,
    params: Vec<PostgresValue>,
) -> Result<Vec<OutboxEvent>, StoreError> {
    let rows = run(session, &template.replace("{content}", CONTENT), params).await?;
    let events: Result<_, _> = rows.iter().map(event_of).collect();
    events.map_err(|source| unreadable(session.operation(), source))
}

/// Whether the event was never claimed.
fn is_unclaimed(event: &OutboxEvent) -> bool {
    Canceled::default().add(event)
}

async fn carry_over<S: Session>(
    session: &S,
    into: Uuid,
    carried: &[(Uuid, i64)],
) -> Result<(), StoreError> {
    let ids = array(carried.iter().map(|(id, _)| id));
    let fingerprints = array(carried.iter().map(|(_, fingerprint)| fingerprint));
    let params = vec![uuid(into), ids, fingerprints];
    run(session, CARRY_OVER, params).await.map(drop)
}

/// Deletes events and unblocks what waited for them.
async fn remove<S: Session>(session: &S, ids: &[Uuid]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    remove_ids(session, ids).await?;
    run(session, WAKE, Vec::new()).await.map(drop)
}

/// Deletes the unclaimed ones among the events that `cancel` selects, in a transaction of the
/// caller, which must see what others commit.
pub(crate) async fn cancel_for_caller<S: Session>(
    session: &S,
    cancel: &Cancel,
) -> Result<Canceled, StoreError> {
    sees_commits(session).await?;
    cancel_on(session, cancel).await
}

/// Deletes the unclaimed ones among the events that `cancel` selects.
pub(crate) async fn cancel_on<S: Session>(
    session: &S,
    cancel: &Cancel,
) -> Result<Canceled, StoreError> {
    let user_id = cancel.user_id();
    let mut found = Vec::new();
    match (cancel.of_key(), cancel.of_entity()) {
        (Some(key), _) => {
            for select in [WITH_KEY, TOO_LATE_WITH_KEY] {
                found.extend(events(session, select, vec![text(user_id), text(key)]).await?);
            }
        }
        (None, Some(entity_id)) => {
            let entity_id = entity_id.to_string();
            let lane = lane::of_entity(user_id, &entity_id);
            for which in [UNCLAIMED, CLAIMED] {
                let select = UNDELIVERED.replace("{which}", which);
                let params = vec![text(user_id), text(&entity_id), integer(lane)];
                found.extend(events(session, &select, params).await?);
            }
        }
        (None, None) => {}
    }
    let mut canceled = Canceled::default();
    for event in &found {
        canceled.add(event);
    }
    remove(session, &canceled.canceled).await?;
    Ok(canceled)
}

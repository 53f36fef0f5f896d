//! Events with a key or parents, or that expire; and cancellations. On any connection.
//!
//! The table `outbox_keys` has an entry for each event with a key. Triggers keep it up when an
//! event is deleted or moved to another user.

use std::future::Future;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::codes::UNPLACED;
use super::database::{Database, OnConnection, at_once, values};
use super::fold::{is_known, known, lock, remember};
use super::held::Held;
use super::placing::Placing;
use super::row::{ReadRow, read_values, select_events};
use super::savepoint::in_savepoint;
use crate::cancellation::{Cancel, Canceled};
use crate::enqueue::{Enqueued, NewEvent, OnSameKey};
use crate::entity::{EntityId, Order};
use crate::error::EnqueueError;
use crate::event::OutboxEvent;
use crate::store::kit::{stored_parents, takes_place};

/// Enqueues an event that has a key or parents, or expires. `write` writes its row, unless the id
/// is known. After an error, writes may be left behind.
pub(super) async fn insert<D: Database>(
    db: &D,
    now: DateTime<Utc>,
    event: &NewEvent,
    write: impl Future<Output = Result<bool, D::Error>>,
) -> Result<Result<Enqueued, EnqueueError>, D::Error> {
    lock(db).await?;
    if is_known(db, event.id).await? {
        return known(db, event).await;
    }
    let waiting = match event.key() {
        Some(key) => waiting(db, &event.user_id, key).await?,
        None => Vec::new(),
    };
    let event_id = event.id;
    if let (OnSameKey::Keep, Some(kept)) = (event.on_same_key(), waiting.last()) {
        remember(db, event_id, kept.seq, event.fingerprint()).await?;
        return Ok(Ok(Enqueued::Kept {
            event_id,
            kept: kept.id,
        }));
    }
    // Before the others are deleted, so that it gets none of their numbers.
    if !write.await? {
        return known(db, event).await;
    }
    let expires_at = event.expiry().map(|expiry| expiry.of(now));
    let seq = note(db, event, expires_at).await?;
    let place = waiting.iter().find(|old| takes_place(event, old));
    let into = place.map_or(seq, |place| place.seq);
    for old in waiting.iter().filter(|old| old.seq != into) {
        replace(db, old, into).await?;
    }
    if let Some(place) = place {
        take_place(db, place, event_id, seq).await?;
    }
    Ok(Ok(match waiting.last() {
        Some(old) => Enqueued::Replaced {
            event_id,
            replaced: old.id,
        },
        None => Enqueued::New(event_id),
    }))
}

/// Writes the key, the parents and the expiry of an event that was just written, and returns its
/// `seq`. The next claim decides the place of an event with parents.
pub(super) async fn note<D: Database>(
    db: &D,
    event: &NewEvent,
    expires_at: Option<DateTime<Utc>>,
) -> Result<i64, D::Error> {
    let expires_at = expires_at.map(|at| at.timestamp_micros());
    let key = event.key();
    let sql = "UPDATE outbox_events SET dedup_key = ?2, expires_at = ?3 WHERE id = ?1 RETURNING seq, user_id";
    let row = db.row(sql, values![event.id, key, expires_at]).await?;
    // A trigger of the application may have deleted it.
    let row = row.ok_or_else(D::no_row)?;
    let seq = row.integer(0);
    if let Some(parents) = stored_parents(event.parents()) {
        let sql = "UPDATE outbox_events
             SET parents = ?2, slot = CASE WHEN status < 2 THEN 0 ELSE slot END,
                 lane = CASE WHEN status < 2 THEN 0 ELSE lane END,
                 entity_lane = CASE WHEN status < 2 THEN NULL ELSE entity_lane END
             WHERE seq = ?1";
        db.change(sql, values![seq, parents]).await?;
    }
    if key.is_some() {
        let user_id = ValueRef::Text(row.bytes(1));
        let sql = "INSERT OR IGNORE INTO outbox_keys (user_id, dedup_key, seq) VALUES (?1, ?2, ?3)";
        db.change(sql, values![user_id, key, seq]).await?;
    }
    Ok(seq)
}

/// The events with this key that were never claimed, by `seq`.
async fn waiting<D: Database>(
    db: &D,
    user_id: &str,
    key: &str,
) -> Result<Vec<OutboxEvent>, D::Error> {
    let mut events = with_key(db, user_id, key).await?;
    events.retain(OutboxEvent::was_never_attempted);
    Ok(events)
}

/// All events with this key, by `seq`.
async fn with_key<D: Database>(
    db: &D,
    user_id: &str,
    key: &str,
) -> Result<Vec<OutboxEvent>, D::Error> {
    let sql = select_events!(
        "WHERE seq IN (SELECT seq FROM outbox_keys WHERE user_id = ?1 AND dedup_key = ?2)
                 AND user_id = ?1 AND dedup_key = ?2 ORDER BY seq"
    );
    list(db, sql, values![user_id, key]).await
}

/// The undelivered and dead events of an entity, by `seq`: those in its lane, those under another
/// order, those that have no place yet, and the dead letters that were skipped.
async fn undelivered<D: Placing>(
    db: &D,
    user_id: &str,
    entity_id: &EntityId,
) -> Result<Vec<OutboxEvent>, D::Error> {
    let mut buffer = [0; EntityId::LONGEST_TEXT];
    let entity_id = entity_id.write_text(&mut buffer);
    let lane = db
        .lane_key()
        .await?
        .lane(Order::Entity, user_id.as_bytes(), entity_id.as_bytes());
    // Two lanes may have one number.
    let in_lane = select_events!(
        "INDEXED BY outbox_lane WHERE lane = ?1 AND entity_id = ?2 AND user_id = ?3"
    );
    let reordered = select_events!(
        "INDEXED BY outbox_reordered WHERE entity_lane = ?1 AND entity_id = ?2 AND user_id = ?3"
    );
    let mut events = list(db, in_lane, values![lane, entity_id, user_id]).await?;
    events.append(&mut list(db, reordered, values![lane, entity_id, user_id]).await?);
    events.append(&mut list(db, in_lane, values![UNPLACED, entity_id, user_id]).await?);
    let skipped = select_events!(
        "INDEXED BY outbox_noted
         WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND slot IS NULL
             AND entity_id = ?1 AND user_id = ?2 ORDER BY seq"
    );
    events.append(&mut list(db, skipped, values![entity_id, user_id]).await?);
    events.sort_by_key(|event| event.seq);
    events.dedup_by_key(|event| event.seq);
    Ok(events)
}

async fn list<D: Database>(
    db: &D,
    sql: &'static str,
    values: &[ValueRef<'_>],
) -> Result<Vec<OutboxEvent>, D::Error> {
    let rows = db.rows(sql, values).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let held = Held::read_on(db).await?;
    let show = |row: ReadRow| held.show(row).event;
    Ok(read_values(&rows).map(show).collect())
}

/// Deletes an event, and lets the event `into` carry it and whatever it carries.
async fn replace<D: Database>(db: &D, old: &OutboxEvent, into: i64) -> Result<(), D::Error> {
    let sql = "UPDATE outbox_folded SET into_seq = ?2 WHERE into_seq = ?1";
    db.change(sql, values![old.seq, into]).await?;
    remember(db, old.id, into, old.fingerprint()).await?;
    delete(db, old.seq).await
}

/// Moves an event, which was just written to the row `from`, to the row of the event `old`, whose
/// `seq` and lane it keeps, and lets it carry that one. Whatever waits for the row waits on.
async fn take_place<D: Database>(
    db: &D,
    old: &OutboxEvent,
    id: Uuid,
    from: i64,
) -> Result<(), D::Error> {
    remember(db, old.id, old.seq, old.fingerprint()).await?;
    // No two rows have one id.
    let sql = "UPDATE outbox_events SET id = randomblob(16) WHERE seq = ?1";
    db.change(sql, values![from]).await?;
    let sql = "UPDATE outbox_events
         SET id = ?3, (priority, max_attempts, metadata, metadata_version, destination, trace_context, headers, expires_at,
                 revision, deferrals, snoozes, deferred_since, error_message, last_refusal, attempts,
                 next_attempt_at, slot)
             = (SELECT written.priority, written.max_attempts, written.metadata, written.metadata_version, written.destination,
                 written.trace_context, written.headers, written.expires_at, written.revision, written.deferrals, written.snoozes,
                 written.deferred_since, written.error_message, written.last_refusal, written.attempts,
                 CASE WHEN written.next_attempt_at <= written.created_at THEN outbox_events.created_at
                     ELSE written.next_attempt_at END,
                 CASE WHEN outbox_events.slot <> 1 AND outbox_events.slot <> 2 THEN outbox_events.slot
                     WHEN written.next_attempt_at <= written.created_at THEN 1 ELSE 2 END
             FROM outbox_events AS written WHERE written.seq = ?2)
         WHERE seq = ?1";
    db.change(sql, values![old.seq, from, id]).await?;
    delete(db, from).await
}

/// Deletes an event. A trigger unblocks the events behind it.
async fn delete<D: Database>(db: &D, seq: i64) -> Result<(), D::Error> {
    let sql = "DELETE FROM outbox_events WHERE seq = ?1";
    db.change(sql, values![seq]).await.map(drop)
}

/// Cancels events in a savepoint of the transaction that is open on `conn`.
pub(super) fn cancel_on(conn: &Connection, cancel: &Cancel) -> rusqlite::Result<Canceled> {
    let work = || at_once(self::cancel(&OnConnection(conn), cancel));
    in_savepoint(conn, |error| error, work)
}

/// Deletes the unclaimed ones among the events that `cancel` selects. After an error, writes may be
/// left behind.
pub(super) async fn cancel<D: Placing>(db: &D, cancel: &Cancel) -> Result<Canceled, D::Error> {
    lock(db).await?;
    let user_id = cancel.user_id();
    let events = match (cancel.of_key(), cancel.of_entity()) {
        (Some(key), _) => with_key(db, user_id, key).await?,
        (None, Some(entity_id)) => undelivered(db, user_id, entity_id).await?,
        (None, None) => Vec::new(),
    };
    let mut canceled = Canceled::default();
    // From the last of each lane to its first, so that no deletion unblocks another.
    let mut doomed = Vec::new();
    for event in &events {
        if canceled.add(event) {
            doomed.push(event.seq);
        }
    }
    for seq in doomed.into_iter().rev() {
        delete(db, seq).await?;
    }
    Ok(canceled)
}

//! Events with a key or parents, or that expire; and cancellations.
//!
//! The table `outbox_keys` has an entry for each event with a key. Triggers keep it up when an
//! event is deleted or moved to another user.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ToSql, named_params, params};

use super::fold::{is_known, known, lock, remember};
use super::held::Held;
use super::row::{ReadRow, read_all, select_events};
use super::savepoint::in_savepoint;
use crate::cancellation::{Cancel, Canceled};
use crate::enqueue::{Enqueued, NewEvent, OnSameKey};
use crate::entity::EntityId;
use crate::error::EnqueueError;
use crate::event::OutboxEvent;
use crate::store::kit::stored_parents;

/// Enqueues an event that has a key or parents, or expires. `write` writes its row, unless the id
/// is known.
pub(super) fn insert(
    conn: &Connection,
    now: DateTime<Utc>,
    event: &NewEvent,
    write: impl FnOnce() -> rusqlite::Result<bool>,
) -> rusqlite::Result<Result<Enqueued, EnqueueError>> {
    in_savepoint(
        conn,
        |error| error,
        || {
            lock(conn)?;
            if is_known(conn, event.id)? {
                return known(conn, event);
            }
            let waiting = match event.key() {
                Some(key) => waiting(conn, &event.user_id, key)?,
                None => Vec::new(),
            };
            let event_id = event.id;
            if let (OnSameKey::Keep, Some(kept)) = (event.on_same_key(), waiting.last()) {
                remember(conn, event_id, kept.seq, event.fingerprint())?;
                return Ok(Ok(Enqueued::Kept {
                    event_id,
                    kept: kept.id,
                }));
            }
            // Before the others are deleted, so that it gets none of their numbers.
            if !write()? {
                return known(conn, event);
            }
            let expires_at = event.expiry().map(|expiry| expiry.of(now));
            let seq = note(conn, event, expires_at)?;
            for old in &waiting {
                replace(conn, old, seq)?;
            }
            Ok(Ok(match waiting.last() {
                Some(old) => Enqueued::Replaced {
                    event_id,
                    replaced: old.id,
                },
                None => Enqueued::New(event_id),
            }))
        },
    )
}

/// Writes the key, the parents and the expiry of an event that was just written, and returns its
/// `seq`. The next claim decides the place of an event with parents.
pub(super) fn note(
    conn: &Connection,
    event: &NewEvent,
    expires_at: Option<DateTime<Utc>>,
) -> rusqlite::Result<i64> {
    let expires_at = expires_at.map(|at| at.timestamp_micros());
    let key = event.key();
    let parents = stored_parents(event.parents());
    let (seq, user_id): (i64, String) = conn
        .prepare_cached(
            "UPDATE outbox_events SET dedup_key = ?2, expires_at = ?3 WHERE id = ?1 RETURNING seq, user_id",
        )?
        .query_row(params![event.id, key, expires_at], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if parents.is_some() {
        conn.prepare_cached(
            "UPDATE outbox_events
             SET parents = ?2, slot = CASE WHEN status < 2 THEN 0 ELSE slot END,
                 lane = CASE WHEN status < 2 THEN 0 ELSE lane END,
                 entity_lane = CASE WHEN status < 2 THEN NULL ELSE entity_lane END
             WHERE seq = ?1",
        )?
        .execute(params![seq, parents])?;
    }
    if key.is_some() {
        conn.prepare_cached(
            "INSERT OR IGNORE INTO outbox_keys (user_id, dedup_key, seq) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![user_id, key, seq])?;
    }
    Ok(seq)
}

/// The events with this key that were never claimed, by `seq`.
fn waiting(conn: &Connection, user_id: &str, key: &str) -> rusqlite::Result<Vec<OutboxEvent>> {
    let mut events = with_key(conn, user_id, key)?;
    events.retain(OutboxEvent::was_never_attempted);
    Ok(events)
}

/// All events with this key, by `seq`.
fn with_key(conn: &Connection, user_id: &str, key: &str) -> rusqlite::Result<Vec<OutboxEvent>> {
    list(
        conn,
        select_events!(
            "WHERE seq IN (SELECT seq FROM outbox_keys WHERE user_id = :user AND dedup_key = :key)
                 AND user_id = :user AND dedup_key = :key ORDER BY seq"
        ),
        named_params! { ":user": user_id, ":key": key },
    )
}

/// The undelivered and dead events of an entity, by `seq`.
fn undelivered(
    conn: &Connection,
    user_id: &str,
    entity_id: &EntityId,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    let values = named_params! { ":entity": entity_id, ":user": user_id };
    let mut events = list(
        conn,
        select_events!(
            "INDEXED BY outbox_lane
             WHERE lane IS NOT NULL AND entity_id = :entity AND user_id = :user ORDER BY seq"
        ),
        values,
    )?;
    let skipped = select_events!(
        "INDEXED BY outbox_noted
         WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND slot IS NULL
             AND entity_id = :entity AND user_id = :user ORDER BY seq"
    );
    events.append(&mut list(conn, skipped, values)?);
    events.sort_by_key(|event| event.seq);
    Ok(events)
}

fn list(
    conn: &Connection,
    sql: &'static str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<OutboxEvent>> {
    let rows = read_all(conn.prepare_cached(sql)?.query(values)?)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let held = Held::read(conn)?;
    let show = |row: ReadRow| held.show(row).event;
    Ok(rows.into_iter().map(show).collect())
}

/// Deletes an event, and lets the event `into` carry it and whatever it carries.
fn replace(conn: &Connection, old: &OutboxEvent, into: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox_folded SET into_seq = ?2 WHERE into_seq = ?1")?
        .execute(params![old.seq, into])?;
    remember(conn, old.id, into, old.fingerprint())?;
    delete(conn, old.seq)
}

/// Deletes an event. A trigger unblocks the events behind it.
fn delete(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM outbox_events WHERE seq = ?1")?
        .execute([seq])
        .map(drop)
}

/// Deletes the unclaimed ones among the events that `cancel` selects.
pub(super) fn cancel(conn: &Connection, cancel: &Cancel) -> rusqlite::Result<Canceled> {
    in_savepoint(
        conn,
        |error| error,
        || {
            lock(conn)?;
            let user_id = cancel.user_id();
            let events = match (cancel.of_key(), cancel.of_entity()) {
                (Some(key), _) => with_key(conn, user_id, key)?,
                (None, Some(entity_id)) => undelivered(conn, user_id, entity_id)?,
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
                delete(conn, seq)?;
            }
            Ok(canceled)
        },
    )
}

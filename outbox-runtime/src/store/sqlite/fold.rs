//! Folding on a connection: a newer event replaces one that was never claimed.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::codes::Code;
use super::held::Held;
use super::lane::Lane;
use super::lane_key::lane_key;
use super::place::place_all;
use super::row::{read, select_events};
use super::savepoint::in_savepoint;
use super::tally;
use super::told;
use super::waits;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::EnqueueError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::store::kit::Class;
use crate::trace::TraceContext;

/// Folds `event` into the newest event of its lane, if allowed. Returns `None` if nothing was
/// written.
pub(super) fn fold(
    conn: &Connection,
    now: DateTime<Utc>,
    event: &NewEvent,
) -> rusqlite::Result<Option<Enqueued>> {
    in_savepoint(conn, |error| error, || fold_in_savepoint(conn, now, event))
}

fn fold_in_savepoint(
    conn: &Connection,
    now: DateTime<Utc>,
    event: &NewEvent,
) -> rusqlite::Result<Option<Enqueued>> {
    lock(conn)?;
    if is_known(conn, event.id)? {
        return Ok(None);
    }
    let held = Held::read(conn)?;
    place_all(conn, now.timestamp_micros(), &held)?;
    let mut buffer = [0; EntityId::LONGEST_TEXT];
    let entity_id = event.entity_id.write_text(&mut buffer);
    let ids = [event.user_id.as_str(), entity_id, &*event.event_type];
    let key = lane_key(conn)?;
    let lane = Lane::new(key, event.order, ids.map(ValueRef::from));
    // The row alone does not tell whether the event was ever claimed, nor the lane's number whether
    // it is of this entity: `folded_into` compares the claimed event and the ids.
    let newest = lane.newest(conn)?.filter(|row| row.damage.is_none());
    let Some(waiting) = newest.map(|row| held.show(row).event) else {
        return Ok(None);
    };
    if lane.has_juniors(conn, waiting.seq)? {
        return Ok(None);
    }
    let folded = match event.folded_into(&waiting, now) {
        Some(folded) => folded,
        None => match event.cancels(&waiting, now) {
            Some(cancelled) if told::was_never_told(conn, &lane, &waiting)? => cancelled,
            _ => return Ok(None),
        },
    };
    remember(conn, waiting.id, waiting.seq, waiting.fingerprint())?;
    remember(conn, event.id, waiting.seq, event.fingerprint())?;
    write(conn, now, &folded)?;
    if folded.status == OutboxStatus::Completed {
        waits::free(conn, folded.seq)?;
    }
    let before = Class::of(waiting.status, waiting.attempt_count);
    let after = Class::of(folded.status, folded.attempt_count);
    tally::note(conn, now.timestamp_micros(), waiting.seq, before, after)?;
    Ok(Some(Enqueued::carried(event, &folded)))
}

/// Waits for the write lock, without a change. Anything read before the lock is held could be
/// outdated.
pub(super) fn lock(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox_events SET slot = slot WHERE false")?
        .execute([])
        .map(drop)
}

/// Whether an event has this id, or was folded into another.
pub(super) fn is_known(conn: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox_events WHERE id = ?1)
             OR EXISTS (SELECT 1 FROM outbox_folded WHERE id = ?1)",
    )?
    .query_row(params![id], |row| row.get(0))
}

/// Records the event enqueued under an id, unless the id is known.
pub(super) fn remember(
    conn: &Connection,
    id: Uuid,
    into: i64,
    fingerprint: i64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO outbox_folded (id, into_seq, fingerprint) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![id, into, fingerprint])?;
    Ok(())
}

fn write(conn: &Connection, now: DateTime<Utc>, folded: &OutboxEvent) -> rusqlite::Result<()> {
    let due = folded.next_attempt_at;
    conn.prepare_cached(
        "UPDATE outbox_events
         SET operation = ?2, status = ?3, completed_at = ?4, priority = ?5, max_attempts = ?6, next_attempt_at = ?7,
             metadata = ?8, metadata_version = ?9, revision = ?12, trace_context = ?13, headers = ?14,
             slot = CASE WHEN ?10 THEN NULL WHEN slot = 2 AND ?11 THEN 1 ELSE slot END,
             lane = CASE WHEN ?10 THEN NULL ELSE lane END, entity_lane = CASE WHEN ?10 THEN NULL ELSE entity_lane END
         WHERE seq = ?1",
    )?
    .execute(params![
        folded.seq,
        folded.operation.code(),
        folded.status.code(),
        folded.completed_at.map(|at| at.timestamp_micros()),
        folded.priority,
        folded.max_attempts,
        due.timestamp_micros(),
        folded.metadata,
        folded.metadata_version,
        folded.status == OutboxStatus::Completed,
        due <= now,
        i64::try_from(folded.revision).unwrap_or(i64::MAX),
        folded.trace_context().map(TraceContext::as_stored),
        folded.headers().to_stored(),
    ])?;
    Ok(())
}

/// The answer for an event whose id is known: it has its own row, or was folded into another.
pub(super) fn known(
    conn: &Connection,
    event: &NewEvent,
) -> rusqlite::Result<Result<Enqueued, EnqueueError>> {
    let conflict = Err(EnqueueError::Conflict { event_id: event.id });
    let remembered = conn
        .prepare_cached("SELECT into_seq, fingerprint FROM outbox_folded WHERE id = ?1")?
        .query_row(params![event.id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let stored = match remembered {
        Some((into, _)) => conn
            .prepare_cached(select_events!("WHERE seq = ?1"))?
            .query_row(params![into], read)
            .optional()?,
        None => conn
            .prepare_cached(select_events!("WHERE id = ?1"))?
            .query_row(params![event.id], read)
            .optional()?,
    };
    let Some(carrier) = stored.map(|row| row.event) else {
        return Ok(conflict);
    };
    let same = match remembered {
        Some((_, fingerprint)) => fingerprint == event.fingerprint(),
        None => event.is_same_event(&carrier),
    };
    Ok(if same {
        Ok(Enqueued::carried(event, &carrier))
    } else {
        conflict
    })
}

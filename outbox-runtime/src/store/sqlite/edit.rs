//! Manual changes and deletions of events.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Params, ToSql, named_params, params};
use uuid::Uuid;

use super::held::Held;
use super::insert::fetch;
use super::lane::{Lane, Lanes, lane_columns};
use super::lane_key::lane_key;
use super::place::place_all;
use super::tally::{self, Moves};
use super::told;
use crate::entity::{EntityId, Order};
use crate::event::OutboxEvent;
use crate::outcome::{Cause, Standing};
use crate::repository::DeleteUnit;
use crate::store::kit::{Class, refused_edit, status_after};

/// The result of an edit.
pub(super) enum Edited {
    Done,
    NotFound,
    /// The reason for the refusal.
    Refused(String),
}

/// Writes the editable fields, if all others match the stored event.
pub(super) fn update(
    conn: &Connection,
    now: DateTime<Utc>,
    event: &OutboxEvent,
) -> rusqlite::Result<Edited> {
    let Some(stored) = fetch(conn, event.id)? else {
        return Ok(Edited::NotFound);
    };
    if let Some(refusal) = refused_edit(&stored, event) {
        return Ok(Edited::Refused(refusal));
    }
    conn.prepare_cached(
        "UPDATE outbox_events
         SET priority = :priority, max_attempts = :max_attempts, next_attempt_at = :due, expires_at = :expires, metadata = :metadata,
             metadata_version = :version, revision = :revision,
             slot = CASE
                 WHEN :due = next_attempt_at OR (slot <> 1 AND slot <> 2) THEN slot
                 WHEN slot IS NULL THEN NULL
                 WHEN :due > :now THEN 2
                 ELSE 1 END
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":priority": event.priority,
        ":max_attempts": event.max_attempts,
        ":due": event.next_attempt_at.timestamp_micros(),
        ":expires": event.expires_at.map(|at| at.timestamp_micros()),
        ":metadata": event.metadata,
        ":version": event.metadata_version,
        ":revision": i64::try_from(event.revision.saturating_add(1)).unwrap_or(i64::MAX),
        ":now": now.timestamp_micros(),
        ":id": event.id,
    })?;
    Ok(Edited::Done)
}

/// Makes failed and dead events pending, due now, with all their attempts.
pub(super) fn reset(conn: &Connection, now: DateTime<Utc>, ids: &[Uuid]) -> rusqlite::Result<u64> {
    let now = now.timestamp_micros();
    let mut lanes = Lanes::new(conn, now)?;
    let mut write = conn.prepare_cached(
        "UPDATE outbox_events
         SET status = 0, slot = 3, lane = ?3, entity_lane = ?4, attempt_count = 0, next_attempt_at = ?2, error_message = NULL,
             dead_reason = NULL, deferrals = 0, deferred_since = NULL, last_refusal = NULL, crashes = 0, snoozes = 0,
             expires_at = CASE WHEN expires_at > ?2 THEN expires_at END
         WHERE seq = ?1",
    )?;
    let mut ids_of = conn.prepare_cached(concat!(
        "SELECT ",
        lane_columns!(),
        " FROM outbox_events WHERE seq = ?1"
    ))?;
    let mut moves = Moves::default();
    let mut count = 0;
    for id in ids {
        let Some(event) = fetch(conn, *id)? else {
            continue;
        };
        let Some(status) = status_after(Standing::of(&event), Cause::Reset) else {
            continue;
        };
        // From the row, because a damaged id is read as another.
        let mut rows = ids_of.query([event.seq])?;
        let Some(row) = rows.next()? else {
            continue;
        };
        let lane = Lane::of(lanes.key, row, 0)?;
        write.execute(params![event.seq, now, lane.number, lane.entity_lane()])?;
        lanes.join(&lane, event.seq)?;
        let before = Class::of(event.status, event.attempt_count);
        moves.note(event.seq, before, Class::of(status, 0));
        count += 1;
    }
    moves.write(conn, now)?;
    Ok(count)
}

/// Moves all events of one user to another. Returns `None` if a handler holds one of them.
pub(super) fn reassign(
    conn: &Connection,
    now: DateTime<Utc>,
    from: &str,
    to: &str,
) -> rusqlite::Result<Option<u64>> {
    let held = Held::read(conn)?;
    let mut of_user = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox_events WHERE seq = ?1 AND user_id = ?2 AND status < 2)",
    )?;
    for seq in held.seqs() {
        if of_user.query_row(params![seq, from], |row| row.get(0))? {
            return Ok(None);
        }
    }
    // A trigger takes each event out of its lane.
    let count = conn
        .prepare_cached("UPDATE outbox_events SET user_id = ?2 WHERE user_id = ?1")?
        .execute(params![from, to])?;
    place_all(conn, now.timestamp_micros(), &held)?;
    tally::reassign(conn, from, to)?;
    told::reassign(conn, from, to)?;
    if let Some(completed) = take_cleaned_up(conn, from)? {
        add_cleaned_up(conn, to, completed)?;
    }
    Ok(Some(count as u64))
}

/// Adds `?2` to the recorded number for the user `?1`.
pub(super) const ADD_CLEANED_UP: &str =
    "INSERT INTO outbox_cleaned_up (user_id, completed) VALUES (?1, ?2)
     ON CONFLICT (user_id) DO UPDATE SET completed = completed + excluded.completed";

pub(super) fn add_cleaned_up(
    conn: &Connection,
    user_id: &str,
    completed: i64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(ADD_CLEANED_UP)?
        .execute(params![user_id, completed])?;
    Ok(())
}

/// Removes and returns the recorded number for a user.
fn take_cleaned_up(conn: &Connection, user_id: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("DELETE FROM outbox_cleaned_up WHERE user_id = ?1 RETURNING completed")?
        .query_row(params![user_id], |row| row.get(0))
        .optional()
}

pub(super) fn delete_one(conn: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    Ok(delete(conn, "DELETE FROM outbox_events WHERE id = ?1", params![id])? > 0)
}

/// Deletes events that are dead letters.
pub(super) fn discard(conn: &Connection, ids: &[Uuid]) -> rusqlite::Result<u64> {
    let mut count = 0;
    for id in ids {
        let sql = "DELETE FROM outbox_events WHERE id = ?1 AND status = 3";
        count += delete(conn, sql, params![id])?;
    }
    Ok(count)
}

/// Deletes events that are unchanged since they were seen; see
/// [`OutboxRepository::delete_seen`](crate::OutboxRepository::delete_seen).
pub(super) fn delete_seen(
    conn: &Connection,
    seen: &[OutboxEvent],
    unit: DeleteUnit,
) -> rusqlite::Result<u64> {
    let by_seq: HashMap<i64, &OutboxEvent> = seen.iter().map(|event| (event.seq, event)).collect();
    let was_seen = |event: &OutboxEvent| by_seq.get(&event.seq) == Some(&event);
    let held = Held::read(conn)?;
    let key = lane_key(conn)?;
    let mut lanes = HashMap::new();
    let mut doomed = BTreeSet::new();
    for event in seen {
        if fetch(conn, event.id)?.as_ref() != Some(event) {
            continue;
        }
        if unit == DeleteUnit::Lane && event.is_open() && event.order != Order::None {
            let mut buffer = [0; EntityId::LONGEST_TEXT];
            let lane = Lane::of_event(key, event, event.entity_id.write_text(&mut buffer));
            // Where two lanes have one number, both must have been seen.
            let was_seen = match lanes.entry(lane.number) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => {
                    let events = lane.events(conn)?.into_iter().map(|row| held.show(row));
                    *unknown.insert(events.into_iter().all(|row| was_seen(&row.event)))
                }
            };
            if !was_seen {
                continue;
            }
        }
        doomed.insert(event.seq);
    }
    // From the last of each lane to its first, so that no deletion unblocks an event.
    let mut count = 0;
    for seq in doomed.iter().rev() {
        count += delete(
            conn,
            "DELETE FROM outbox_events WHERE seq = ?1",
            params![seq],
        )?;
    }
    Ok(count)
}

pub(super) fn delete_of_entities(
    conn: &Connection,
    entity_ids: &[EntityId],
    user_id: Option<&str>,
) -> rusqlite::Result<u64> {
    let mut count = 0;
    for entity_id in entity_ids {
        let values: [&dyn ToSql; 2] = [entity_id, &user_id];
        let sql = "DELETE FROM outbox_events WHERE entity_id = ?1 AND (?2 IS NULL OR user_id = ?2)";
        count += delete(conn, sql, &values[..])?;
    }
    Ok(count)
}

pub(super) fn delete_of_user(conn: &Connection, user_id: &str) -> rusqlite::Result<u64> {
    take_cleaned_up(conn, user_id)?;
    let count = delete(
        conn,
        "DELETE FROM outbox_events WHERE user_id = ?1",
        params![user_id],
    )?;
    Ok(count)
}

/// Deletes rows. A trigger unblocks the events behind them.
fn delete(conn: &Connection, sql: &'static str, values: impl Params) -> rusqlite::Result<u64> {
    let count = conn.prepare_cached(sql)?.execute(values)?;
    Ok(count as u64)
}

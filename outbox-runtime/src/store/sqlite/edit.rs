//! Manual changes and deletions of events.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Params, ToSql, named_params, params};
use uuid::Uuid;

use super::insert::fetch;
use super::lane::{Lane, lane_columns};
use super::tally;
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
         SET priority = :priority, max_attempts = :max_attempts, next_attempt_at = :due, metadata = :metadata,
             metadata_version = :version, revision = :revision,
             slot = CASE
                 WHEN slot NOT IN ('ready', 'waiting') THEN slot
                 WHEN slot IS NULL THEN NULL
                 WHEN :due = next_attempt_at THEN slot
                 WHEN :due > :now THEN 'waiting'
                 ELSE 'ready' END
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":priority": event.priority,
        ":max_attempts": event.max_attempts,
        ":due": event.next_attempt_at.timestamp_micros(),
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
    let mut count = 0;
    for id in ids {
        let Some(event) = fetch(conn, *id)? else {
            continue;
        };
        let reset = conn
            .prepare_cached(concat!(
                "UPDATE outbox_events
                 SET status = 'pending', slot = 'blocked', open = 1, attempt_count = 0, next_attempt_at = ?1,
                     error_message = NULL, dead_reason = NULL, deferrals = 0, deferred_since = NULL, last_refusal = NULL,
                     crashes = 0, snoozes = 0
                 WHERE id = ?2 AND status IN ('failed', 'dead')
                 RETURNING seq, ",
                lane_columns!()
            ))?
            .query_row(params![now, id], |row| {
                Lane::of(row, 1)?.join(conn, now, row.get(0)?)
            })
            .optional()?;
        if reset.is_some() {
            let before = Class::of(event.status, event.attempt_count);
            let after = status_after(Standing::of(&event), Cause::Reset)
                .map_or(before, |status| Class::of(status, 0));
            tally::note(conn, event.seq, before, after)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Moves all events of one user to another. Returns `None` if a handler holds one of them.
pub(super) fn reassign(
    conn: &Connection,
    now: DateTime<Utc>,
    from: &str,
    to: &str,
) -> rusqlite::Result<Option<u64>> {
    let is_busy: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox_events WHERE slot = 'leased' AND user_id = ?1)",
        )?
        .query_row(params![from], |row| row.get(0))?;
    if is_busy {
        return Ok(None);
    }
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE outbox_events
         SET user_id = ?2,
             slot = CASE WHEN slot IN ('ready', 'waiting') AND lane IS NOT 'none' THEN 'blocked' ELSE slot END
         WHERE user_id = ?1
         RETURNING ",
        lane_columns!()
    ))?;
    // SQLite updates all rows before it returns the first.
    let mut rows = statement.query(params![from, to])?;
    let mut count = 0;
    let (mut lined_up, mut kin) = (HashSet::new(), HashSet::new());
    while let Some(row) = rows.next()? {
        let lane = Lane::of(row, 0)?;
        if lined_up.insert(lane.key()) {
            lane.line_up(conn, now.timestamp_micros())?;
        }
        if kin.insert(lane.kin_key()) {
            lane.block_juniors(conn)?;
        }
        count += 1;
    }
    tally::reassign(conn, from, to)?;
    told::reassign(conn, from, to)?;
    if let Some(completed) = take_cleaned_up(conn, from)? {
        add_cleaned_up(conn, to, completed)?;
    }
    Ok(Some(count))
}

/// Deletes old completed events and records their number. They block no event, so there is nothing
/// to unblock.
pub(super) fn delete_completed(
    conn: &Connection,
    older_than: DateTime<Utc>,
    at_most: i64,
) -> rusqlite::Result<u64> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM outbox_events WHERE seq IN (
             SELECT seq FROM outbox_events WHERE completed_at < ?1
             ORDER BY completed_at LIMIT ?2)
         RETURNING user_id",
    )?;
    let deleted = delete.query_map(params![older_than.timestamp_micros(), at_most], |row| {
        // A damaged user id is counted under its lossy text.
        Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned())
    })?;
    let mut by_user: HashMap<String, i64> = HashMap::new();
    for user_id in deleted {
        *by_user.entry(user_id?).or_default() += 1;
    }
    let mut count = 0;
    for (user_id, completed) in &by_user {
        add_cleaned_up(conn, user_id, *completed)?;
        count += completed.unsigned_abs();
    }
    Ok(count)
}

fn add_cleaned_up(conn: &Connection, user_id: &str, completed: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO outbox_cleaned_up (user_id, completed) VALUES (?1, ?2)
         ON CONFLICT (user_id) DO UPDATE SET completed = completed + excluded.completed",
    )?
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
        let sql = "DELETE FROM outbox_events WHERE id = ?1 AND status = 'dead'";
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
    let mut lanes = HashMap::new();
    let mut doomed = BTreeSet::new();
    for event in seen {
        if fetch(conn, event.id)?.as_ref() != Some(event) {
            continue;
        }
        if unit == DeleteUnit::Lane && event.is_open() && event.order != Order::None {
            let lane = Lane::of_event(event);
            let was_seen = match lanes.entry((event.user_id.as_str(), lane.key())) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => {
                    let events = lane.events(conn)?;
                    *unknown.insert(events.iter().all(|row| was_seen(&row.event)))
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

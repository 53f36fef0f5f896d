//! Queries: listings and explanations, on the reading connection.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql, named_params};

use super::lane::{Lane, lane_columns};
use super::row::{COLUMNS, columns, read, read_all, select_events};
use crate::clock;
use crate::entity::EntityId;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::PendingDelete;
use crate::statistics::Explanation;

/// Runs one listing. A damaged row is listed as far as it can be read.
fn list(
    conn: &Connection,
    sql: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<OutboxEvent>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = read_all(statement.query(values)?)?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}

/// SQLite treats a negative limit as none.
fn limit_value(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) fn pending(
    conn: &Connection,
    user_id: Option<&str>,
    limit: Option<usize>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    list(
        conn,
        select_events!(
            "INDEXED BY outbox_entity
              WHERE open IS NOT NULL AND slot IN ('ready', 'waiting', 'blocked') AND (:user IS NULL OR user_id = :user)
              ORDER BY priority DESC, next_attempt_at, seq LIMIT :limit"
        ),
        named_params! { ":user": user_id, ":limit": limit_value(limit) },
    )
}

pub(super) fn of_status(
    conn: &Connection,
    status: OutboxStatus,
    user_id: Option<&str>,
    limit: Option<usize>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    // Completed events can be numerous: queries for other statuses do not read them.
    let sql = match status {
        OutboxStatus::Pending | OutboxStatus::Failed => select_events!(
            "INDEXED BY outbox_entity
              WHERE open IS NOT NULL AND status = :status AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT :limit"
        ),
        OutboxStatus::Processing => select_events!(
            "INDEXED BY outbox_leased
              WHERE slot = 'leased' AND status = :status AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT :limit"
        ),
        OutboxStatus::Dead => select_events!(
            "INDEXED BY outbox_dead
              WHERE status = 'dead' AND status = :status AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT :limit"
        ),
        OutboxStatus::Completed => select_events!(
            "WHERE completed_at IS NOT NULL AND status = :status AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT :limit"
        ),
    };
    list(
        conn,
        sql,
        named_params! { ":status": status.as_str(), ":user": user_id, ":limit": limit_value(limit) },
    )
}

pub(super) fn oldest_completed(conn: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let oldest: Option<i64> = conn
        .prepare_cached(
            "SELECT min(completed_at) FROM outbox_events WHERE completed_at IS NOT NULL",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(oldest.and_then(DateTime::from_timestamp_micros))
}

pub(super) fn of_entity(
    conn: &Connection,
    entity_id: &EntityId,
    event_type: Option<&str>,
    user_id: Option<&str>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    list(
        conn,
        select_events!(
            "WHERE entity_id = :entity AND (:user IS NULL OR user_id = :user)
                AND (:type IS NULL OR event_type = :type)
              ORDER BY seq"
        ),
        named_params! { ":entity": entity_id, ":user": user_id, ":type": event_type },
    )
}

pub(super) fn stale(
    conn: &Connection,
    now: DateTime<Utc>,
    user_id: Option<&str>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    list(
        conn,
        select_events!(
            "INDEXED BY outbox_entity
              WHERE open IS NOT NULL AND status = 'pending' AND created_at < :before
                AND (:user IS NULL OR user_id = :user)
              ORDER BY seq"
        ),
        named_params! { ":before": stale_before(now), ":user": user_id },
    )
}

pub(super) fn pending_deletes(
    conn: &Connection,
    user_id: Option<&str>,
) -> rusqlite::Result<Vec<PendingDelete>> {
    // A skipped dead letter has no slot.
    let events = list(
        conn,
        select_events!(
            "WHERE (open IS NOT NULL OR status = 'dead') AND operation = 'delete'
                AND (:user IS NULL OR user_id = :user)
              ORDER BY seq"
        ),
        named_params! { ":user": user_id },
    )?;
    let pending = events
        .into_iter()
        .map(|event| PendingDelete::new(event.user_id, event.event_type, event.entity_id));
    Ok(pending.collect())
}

/// The types of open events. Skips values that are not text: such a row becomes a dead letter when
/// it is claimed.
pub(super) fn event_types(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare_cached(
        "SELECT event_type FROM outbox_events INDEXED BY outbox_entity WHERE open IS NOT NULL",
    )?;
    let mut rows = statement.query([])?;
    // Collected here: `DISTINCT` would make SQLite fill a temporary table.
    let mut types = BTreeSet::new();
    while let Some(row) = rows.next()? {
        if let Ok(event_type) = row.get_ref(0)?.as_str()
            && !types.contains(event_type)
        {
            types.insert(event_type.to_owned());
        }
    }
    Ok(types.into_iter().collect())
}

pub(super) fn stale_before(now: DateTime<Utc>) -> i64 {
    clock::before(now, OutboxEvent::STALE_AFTER).timestamp_micros()
}

/// Explains what the first undelivered event of the entity waits for.
pub(super) fn explain(
    conn: &Connection,
    now: DateTime<Utc>,
    entity_id: &EntityId,
    user_id: Option<&str>,
) -> rusqlite::Result<Explanation> {
    let snapshot = conn.unchecked_transaction()?;
    let explanation = explain_in(&snapshot, now, entity_id, user_id)?;
    snapshot.finish()?;
    Ok(explanation)
}

fn explain_in(
    conn: &Connection,
    now: DateTime<Utc>,
    entity_id: &EntityId,
    user_id: Option<&str>,
) -> rusqlite::Result<Explanation> {
    let values: [(&str, &dyn ToSql); 2] = [(":entity", entity_id), (":user", &user_id)];
    let count = |sql: &str| -> rusqlite::Result<u64> {
        let count = conn
            .prepare_cached(sql)?
            .query_row(&values[..], |row| row.get::<_, i64>(0))?;
        Ok(count.unsigned_abs())
    };
    let undelivered = count(
        "SELECT count(*) FROM outbox_events
         WHERE entity_id = :entity AND open IS NOT NULL AND (:user IS NULL OR user_id = :user)",
    )? + count(
        "SELECT count(*) FROM outbox_events
         WHERE entity_id = :entity AND status = 'dead' AND slot IS NULL AND (:user IS NULL OR user_id = :user)",
    )?;
    let explained = |event| Explanation::new(entity_id.clone(), undelivered, event, now);
    // Also reads the event's own lane, to look up the front of that lane if the event is blocked.
    let open = conn
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            ", slot IS 'blocked', ",
            lane_columns!(),
            " FROM outbox_events
              WHERE entity_id = :entity AND open IS NOT NULL AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT 1"
        ))?
        .query_row(&values[..], |row| {
            let explanation = explained(Some(read(row)?.event));
            if !row.get::<_, bool>(COLUMNS)? {
                return Ok(explanation);
            }
            let seq = row.get("seq")?;
            let front = Lane::of(row, COLUMNS + 1)?.waits_behind(conn, seq)?;
            Ok(match front {
                Some(front) => explanation.behind(&front),
                None => explanation,
            })
        })
        .optional()?;
    if let Some(explanation) = open {
        return Ok(explanation);
    }
    let skipped = conn
        .prepare_cached(select_events!(
            "WHERE entity_id = :entity AND status = 'dead' AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT 1"
        ))?
        .query_row(&values[..], |row| Ok(read(row)?.event))
        .optional()?;
    Ok(explained(skipped))
}

//! Queries: listings and explanations, on the reading connection. Each runs in one snapshot.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql, named_params};

use super::codes::Code;
use super::held::{Held, not_held};
use super::lane::{Lane, Lanes, lane_columns};
use super::pausing;
use super::row::{COLUMNS, columns, read, read_all, select_events};
use crate::clock;
use crate::entity::EntityId;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::PendingDelete;
use crate::statistics::Explanation;

/// Runs one listing. A damaged row is listed as far as it can be read.
fn list(
    conn: &Connection,
    held: &Held,
    sql: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<OutboxEvent>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = read_all(statement.query(values)?)?;
    Ok(rows.into_iter().map(|row| held.show(row).event).collect())
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
    let held = Held::read(conn)?;
    list(
        conn,
        &held,
        concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane
              WHERE lane IS NOT NULL AND status < 2 AND (:user IS NULL OR user_id = :user) AND ",
            not_held!("seq"),
            " ORDER BY priority DESC, next_attempt_at, seq LIMIT :limit"
        ),
        named_params! { ":user": user_id, ":limit": limit_value(limit), ":held": held.json() },
    )
}

pub(super) fn of_status(
    conn: &Connection,
    status: OutboxStatus,
    user_id: Option<&str>,
    limit: Option<usize>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    let held = Held::read(conn)?;
    let limit = limit_value(limit);
    let values: &[(&str, &dyn ToSql)] = named_params! { ":user": user_id, ":limit": limit };
    // Completed events can be numerous: queries for other statuses do not read them.
    match status {
        OutboxStatus::Pending | OutboxStatus::Failed => list(
            conn,
            &held,
            concat!(
                "SELECT ",
                columns!(),
                " FROM outbox_events INDEXED BY outbox_lane
                  WHERE lane IS NOT NULL AND status = :status AND (:user IS NULL OR user_id = :user) AND ",
                not_held!("seq"),
                " ORDER BY seq LIMIT :limit"
            ),
            named_params! {
                ":user": user_id, ":limit": limit, ":status": status.code(), ":held": held.json(),
            },
        ),
        OutboxStatus::Processing => {
            let events = with_handlers(conn, &held)?.into_iter();
            let events = events.map(|(_, event)| event);
            let of_user = events.filter(|event| user_id.is_none_or(|user| user == event.user_id));
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(of_user.take(most).collect())
        }
        OutboxStatus::Dead => list(
            conn,
            &held,
            select_events!(
                "INDEXED BY outbox_noted
                  WHERE dead_reason IS NOT NULL AND (:user IS NULL OR user_id = :user)
                  ORDER BY seq LIMIT :limit"
            ),
            values,
        ),
        OutboxStatus::Completed => list(
            conn,
            &held,
            select_events!(
                "WHERE completed_at IS NOT NULL AND (:user IS NULL OR user_id = :user)
                  ORDER BY seq LIMIT :limit"
            ),
            values,
        ),
    }
}

/// The events that handlers have, by `seq`, each with the status of its row.
pub(super) fn with_handlers(
    conn: &Connection,
    held: &Held,
) -> rusqlite::Result<Vec<(OutboxStatus, OutboxEvent)>> {
    let mut one = conn.prepare_cached(select_events!("WHERE seq = ?1"))?;
    let mut events = Vec::new();
    for seq in held.seqs() {
        // Other SQL may have finished or deleted it.
        if let Some(row) = one.query_row([seq], read).optional()? {
            let status = row.event.status;
            let event = held.show(row).event;
            if event.status == OutboxStatus::Processing {
                events.push((status, event));
            }
        }
    }
    Ok(events)
}

pub(super) fn of_entity(
    conn: &Connection,
    entity_id: &EntityId,
    event_type: Option<&str>,
    user_id: Option<&str>,
) -> rusqlite::Result<Vec<OutboxEvent>> {
    list(
        conn,
        &Held::read(conn)?,
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
    let held = Held::read(conn)?;
    list(
        conn,
        &held,
        concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane
              WHERE lane IS NOT NULL AND status = 0 AND created_at < :before
                AND (:user IS NULL OR user_id = :user) AND ",
            not_held!("seq"),
            " ORDER BY seq"
        ),
        named_params! { ":before": stale_before(now), ":user": user_id, ":held": held.json() },
    )
}

pub(super) fn pending_deletes(
    conn: &Connection,
    user_id: Option<&str>,
) -> rusqlite::Result<Vec<PendingDelete>> {
    // A skipped dead letter is in no lane.
    let events = list(
        conn,
        &Held::default(),
        select_events!(
            "WHERE (lane IS NOT NULL OR dead_reason IS NOT NULL) AND operation = 2
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
        "SELECT event_type FROM outbox_events INDEXED BY outbox_lane WHERE lane IS NOT NULL",
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
    let explanation = explain_unpaused(conn, now, entity_id, user_id)?;
    Ok(pausing::read(conn)?.explain(explanation, now))
}

/// Explains it as if nothing was paused.
fn explain_unpaused(
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
        "SELECT count(*) FROM outbox_events INDEXED BY outbox_lane
         WHERE entity_id = :entity AND lane IS NOT NULL AND (:user IS NULL OR user_id = :user)",
    )? + count(
        "SELECT count(*) FROM outbox_events INDEXED BY outbox_noted
         WHERE entity_id = :entity AND dead_reason IS NOT NULL AND slot IS NULL AND (:user IS NULL OR user_id = :user)",
    )?;
    let held = Held::read(conn)?;
    let explained = |event| Explanation::new(entity_id.clone(), undelivered, event, now);
    // Also reads the event's own lane, to look up what goes first if the event is blocked or not
    // placed yet.
    let open = conn
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            ", slot IS 3 OR slot IS 0, ",
            lane_columns!(),
            " FROM outbox_events INDEXED BY outbox_lane
              WHERE entity_id = :entity AND lane IS NOT NULL AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT 1"
        ))?
        .query_row(&values[..], |row| {
            let event = held.show(read(row)?).event;
            let seq = event.seq;
            let explanation = explained(Some(event));
            if !row.get::<_, bool>(COLUMNS)? {
                return Ok(explanation);
            }
            let lanes = Lanes::new(conn, now.timestamp_micros())?;
            let lane = Lane::of(lanes.key, row, COLUMNS + 1)?;
            let before = lane.predecessors(&lanes, &held, seq)?;
            Ok(explanation.behind_all(&before, now))
        })
        .optional()?;
    if let Some(explanation) = open {
        return Ok(explanation);
    }
    let skipped = conn
        .prepare_cached(select_events!(
            "INDEXED BY outbox_noted
              WHERE entity_id = :entity AND dead_reason IS NOT NULL AND (:user IS NULL OR user_id = :user)
              ORDER BY seq LIMIT 1"
        ))?
        .query_row(&values[..], |row| Ok(read(row)?.event))
        .optional()?;
    Ok(explained(skipped))
}

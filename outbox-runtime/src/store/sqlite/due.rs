//! When a run has something to do next.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Rows, params_from_iter};

use super::destinations::{self, FirstDue};
use super::filter::Filter;
use super::held::Held;
use super::pausing;
use super::stepping::{READY, READY_USER};
use super::user_index;
use crate::claim::ClaimRequest;

/// The earliest time at which a claim with this request, or a rescue, finds an event.
pub(super) fn next_due(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let pauses = pausing::read(conn)?;
    let request = &*pauses.applied(request, now);
    let held = Held::read(conn)?;
    let filter = Filter::of(request);
    let next_end = pauses.next_end(now).map(|end| end.timestamp_micros());
    let mut earliest = [held.first_end(), next_end].into_iter().flatten().min();
    if !filter.is_for_nothing() {
        let unplaced = unplaced(conn, &held)?;
        let ready = ready(conn, &held, request, &filter)?;
        let waiting = waiting(conn, &filter)?;
        let times = [earliest, unplaced, ready, waiting];
        earliest = times.into_iter().flatten().min();
    }
    Ok(earliest
        .map(|micros| DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)))
}

/// The priorities that are looked at for the oldest due time.
const MOST_PRIORITIES: usize = 1_000;

/// The earliest due time of the events that a claim could take, now or later, whatever is paused.
pub(super) fn oldest(conn: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let held = Held::read(conn)?;
    let mut of_priorities = conn.prepare_cached(
        "SELECT seq, next_attempt_at, priority FROM outbox_events INDEXED BY outbox_ready
         WHERE slot = 1 AND priority < ?1 ORDER BY priority DESC, next_attempt_at, seq",
    )?;
    let mut oldest = unplaced(conn, &held)?;
    let mut below = i64::MAX;
    for _ in 0..MOST_PRIORITIES {
        let mut rows = of_priorities.query([below])?;
        let mut first = None;
        while let Some(row) = rows.next()? {
            if !held.has(row.get(0)?) {
                first = Some((row.get::<_, i64>(1)?, row.get(2)?));
                break;
            }
        }
        let Some((due, priority)) = first else {
            break;
        };
        oldest = oldest.into_iter().chain([due]).min();
        below = priority;
    }
    let waiting = conn
        .prepare_cached(
            "SELECT next_attempt_at FROM outbox_events INDEXED BY outbox_aside WHERE slot = 2
             ORDER BY next_attempt_at LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let oldest = oldest.into_iter().chain(waiting).min();
    Ok(oldest
        .map(|micros| DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)))
}

/// The due time of an event that the next claim will place. Until then nobody knows whether it
/// waits for another.
fn unplaced(conn: &Connection, held: &Held) -> rusqlite::Result<Option<i64>> {
    let mut unplaced = conn.prepare_cached(
        "SELECT seq, next_attempt_at FROM outbox_events INDEXED BY outbox_lane WHERE lane = 0 AND slot = 0",
    )?;
    first_free(held, unplaced.query([])?)
}

/// The due time of the first of these events that no handler has.
fn first_free(held: &Held, mut rows: Rows<'_>) -> rusqlite::Result<Option<i64>> {
    while let Some(row) = rows.next()? {
        if !held.has(row.get(0)?) {
            return row.get(1).map(Some);
        }
    }
    Ok(None)
}

/// The due time of the first ready event that no handler has. All ready events are due.
fn ready(
    conn: &Connection,
    held: &Held,
    request: &ClaimRequest,
    filter: &Filter<'_>,
) -> rusqlite::Result<Option<i64>> {
    if let FirstDue::Known(found) = destinations::due(conn, held, request, filter)? {
        return Ok(found);
    }
    if filter.is_of_one_user() {
        match ready_in(conn, held, filter, READY_USER) {
            Err(error) if user_index::is_missing(&error) => {}
            found => return found,
        }
    }
    ready_in(conn, held, filter, READY)
}

fn ready_in(
    conn: &Connection,
    held: &Held,
    filter: &Filter<'_>,
    index: &str,
) -> rusqlite::Result<Option<i64>> {
    let sql = format!(
        "SELECT seq, next_attempt_at FROM outbox_events INDEXED BY {index} WHERE slot = 1{}
         ORDER BY priority DESC, next_attempt_at, seq",
        filter.sql()
    );
    let mut ready = conn.prepare_cached(&sql)?;
    first_free(held, ready.query(params_from_iter(filter.values()))?)
}

fn waiting(conn: &Connection, filter: &Filter<'_>) -> rusqlite::Result<Option<i64>> {
    let sql = format!(
        "SELECT next_attempt_at FROM outbox_events INDEXED BY outbox_aside WHERE slot = 2{}
         ORDER BY next_attempt_at LIMIT 1",
        filter.sql()
    );
    conn.prepare_cached(&sql)?
        .query_row(params_from_iter(filter.values()), |row| row.get(0))
        .optional()
}

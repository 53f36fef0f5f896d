//! The past attempts of an event, in the last column of its row: a line each.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::history::PastAttempt;
use crate::store::kit::with_attempt;

/// Adds an attempt to the history of an event.
pub(super) fn add(conn: &Connection, seq: i64, attempt: &PastAttempt) -> rusqlite::Result<()> {
    // An unreadable history begins anew.
    let history: Option<String> = conn
        .prepare_cached("SELECT attempts FROM outbox_events WHERE seq = ?1")?
        .query_row([seq], |row| Ok(row.get(0).unwrap_or_default()))
        .optional()?
        .flatten();
    conn.prepare_cached("UPDATE outbox_events SET attempts = ?2 WHERE seq = ?1")?
        .execute(params![seq, with_attempt(history.as_deref(), attempt)])?;
    Ok(())
}

/// The history of an event, the oldest attempt first. Damaged lines are left out.
pub(super) fn read(conn: &Connection, id: Uuid) -> rusqlite::Result<Vec<PastAttempt>> {
    let history: Option<String> = conn
        .prepare_cached("SELECT attempts FROM outbox_events WHERE id = ?1")?
        .query_row([id], |row| Ok(row.get(0).unwrap_or_default()))
        .optional()?
        .flatten();
    let history = history.unwrap_or_default();
    Ok(history.lines().filter_map(PastAttempt::from_line).collect())
}

/// A time of the table.
pub(super) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

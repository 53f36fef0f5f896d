//! The completions of handlers that have not answered yet.
//!
//! A completion releases the claim, like any outcome, so the outcome that the processor records
//! when the handler answers finds no claim. The note in `outbox_completions` tells it from an
//! outcome under a lost lease. It ends with that answer, or after a day if nobody answers. It is
//! apart from the row of the event, which may have been cleaned up by then.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::database::{Database, values};
use super::history;
use crate::claim::Lease;
use crate::clock;
use crate::enqueue::Enqueued;
use crate::outcome::Disposition;
use crate::store::kit::{COMPLETION_KEPT, past_attempt, superseded_note};

/// Notes a completion, on a connection of any driver. Returns `false` if it was noted before.
pub(super) async fn note<D: Database>(db: &D, now: i64, lease: &Lease) -> Result<bool, D::Error> {
    let sql = "INSERT INTO outbox_completions (id, token, completed_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let token = lease.token.as_uuid();
    let noted = db.change(sql, values![lease.event_id, token, now]).await?;
    Ok(noted > 0)
}

/// The note of what became of the event that superseded this one under the same lease, if one has.
pub(super) async fn superseded<D: Database>(
    db: &D,
    lease: &Lease,
) -> Result<Option<String>, D::Error> {
    let sql = "SELECT superseded FROM outbox_completions
         WHERE id = ?1 AND token = ?2 AND superseded IS NOT NULL";
    let row = db
        .row(sql, values![lease.event_id, lease.token.as_uuid()])
        .await?;
    Ok(row.map(|row| String::from_utf8_lossy(row.bytes(0)).into_owned()))
}

/// Notes what became of the event that supersedes this one.
pub(super) async fn supersede<D: Database>(
    db: &D,
    lease: &Lease,
    next: Enqueued,
) -> Result<(), D::Error> {
    let sql = "UPDATE outbox_completions SET superseded = ?3 WHERE id = ?1 AND token = ?2";
    let note = superseded_note(next);
    let (event_id, token) = (lease.event_id, lease.token.as_uuid());
    db.change(sql, values![event_id, token, note.as_str()])
        .await
        .map(drop)
}

/// Whether the event was completed under this lease.
pub(super) fn is_noted(conn: &Connection, lease: &Lease) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox_completions WHERE id = ?1 AND token = ?2)",
    )?
    .query_row(params![lease.event_id, lease.token.as_uuid()], |row| {
        row.get(0)
    })
}

/// Ends the note of a handler that has answered. Returns whether there was one. Only now is the
/// delivery added to the history of the event: the connection that completed it does not know
/// whether the store keeps deliveries.
pub(super) fn take(
    conn: &Connection,
    lease: &Lease,
    keeps_deliveries: bool,
) -> rusqlite::Result<bool> {
    if !is_noted(conn, lease)? {
        return Ok(false);
    }
    conn.prepare_cached("DELETE FROM outbox_completions WHERE id = ?1 AND token = ?2")?
        .execute(params![lease.event_id, lease.token.as_uuid()])?;
    if !keeps_deliveries {
        return Ok(true);
    }
    let row: Option<(i64, Option<i64>, i64)> = conn
        .prepare_cached(
            "SELECT seq, last_attempt_at, completed_at FROM outbox_events WHERE id = ?1 AND status = 2",
        )?
        .query_row([lease.event_id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    if let Some((seq, began, ended)) = row {
        let (began, ended) = (history::time(began.unwrap_or(ended)), history::time(ended));
        if let Some(attempt) = past_attempt(&Disposition::Complete, began, ended, true) {
            history::add(conn, seq, &attempt)?;
        }
    }
    Ok(true)
}

/// Forgets the completions of handlers that never answered.
pub(super) fn forget(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let long_ago = clock::before(now, COMPLETION_KEPT).timestamp_micros();
    let is_any: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox_completions WHERE completed_at <= ?1)",
        )?
        .query_row([long_ago], |row| row.get(0))?;
    if !is_any {
        // A store that only reads may not even run a statement that would delete.
        return Ok(());
    }
    conn.prepare_cached("DELETE FROM outbox_completions WHERE completed_at <= ?1")?
        .execute([long_ago])?;
    Ok(())
}

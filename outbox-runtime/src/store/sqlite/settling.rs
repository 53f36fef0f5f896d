//! Outcomes of claimed events, each written under its lease.

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};
use uuid::Uuid;

use super::bury::buried;
use super::elders::give_way_to_elders;
use super::lane::{Lane, lane_columns, neighbors};
use super::row::{count_of, one_more};
use super::tally::Moves;
use crate::claim::Lease;
use crate::event::{OutboxStatus, Refusal};
use crate::outcome::{Cause, Disposition, Settled, Settlement, Standing};
use crate::store::kit::{Class, status_after};

/// Writes outcomes, each if its lease still holds.
pub(super) fn settle_all(
    conn: &Connection,
    now: DateTime<Utc>,
    settlements: &[Settlement],
    wakes: &mut bool,
) -> rusqlite::Result<Vec<Settled>> {
    let mut settling = Settling::new(conn, now)?;
    let settled = settlements
        .iter()
        .map(|settlement| settling.settle(settlement, wakes));
    let settled = settled.collect::<rusqlite::Result<_>>()?;
    settling.moves.write(conn)?;
    Ok(settled)
}

/// Writes one outcome; see [`settle_all`].
pub(super) fn settle(
    conn: &Connection,
    now: DateTime<Utc>,
    settlement: &Settlement,
    wakes: &mut bool,
) -> rusqlite::Result<Settled> {
    let mut settling = Settling::new(conn, now)?;
    let settled = settling.settle(settlement, wakes)?;
    settling.moves.write(conn)?;
    Ok(settled)
}

/// Writes outcomes, and reuses the statements from one to the next.
struct Settling<'c> {
    conn: &'c Connection,
    now: i64,
    held: CachedStatement<'c>,
    complete: CachedStatement<'c>,
    moves: Moves,
}

impl<'c> Settling<'c> {
    fn new(conn: &'c Connection, now: DateTime<Utc>) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            now: now.timestamp_micros(),
            // The row must be held under exactly this lease, and the lease must not have ended.
            held: conn.prepare_cached(concat!(
                "SELECT seq, attempt_count, ",
                neighbors!(),
                ", ",
                lane_columns!(),
                " FROM outbox_events AS held
                 WHERE id = ?1 AND lease_token = ?2 AND lease_expires_at > ?3 AND slot = 'leased'"
            ))?,
            complete: conn.prepare_cached(
                "UPDATE outbox_events
                 SET status = 'completed', slot = NULL, open = NULL, completed_at = ?2, error_message = NULL,
                     lease_token = NULL, lease_expires_at = NULL, crashes = 0
                 WHERE seq = ?1",
            )?,
            moves: Moves::default(),
        })
    }

    /// Writes one outcome, if the lease still holds. Sets `wakes` if another event became
    /// claimable, and notes the event's change of class in `moves`, which the caller writes after
    /// the last outcome.
    ///
    /// Looks up the row first and reads its lane in place; `UPDATE .. RETURNING` would copy it to a
    /// temporary table.
    fn settle(&mut self, settlement: &Settlement, wakes: &mut bool) -> rusqlite::Result<Settled> {
        let Self {
            conn,
            now,
            held,
            complete,
            moves,
        } = self;
        let (conn, now) = (*conn, *now);
        let Lease {
            event_id, token, ..
        } = settlement.lease;
        let mut rows = held.query(params![event_id, token.as_uuid(), now])?;
        let Some(row) = rows.next()? else {
            drop(rows);
            *wakes |= unblock_behind(conn, now, event_id)?;
            return Ok(Settled::LeaseLost);
        };
        let seq: i64 = row.get(0)?;
        let attempts = count_of(row.get(1)?);
        let (before, after) = classes(attempts, settlement.disposition.cause());
        let neighbors: i64 = row.get(2)?;
        let (has_others, has_kin) = (neighbors & 1 != 0, neighbors & 2 != 0);
        let lane = if has_others || has_kin {
            Some(Lane::of(row, 3)?)
        } else {
            // No event to unblock or to give way to. Ends the query: while a row is open, SQLite
            // maintains the cursor's position through every write.
            drop(rows);
            None
        };
        write_outcome(conn, complete, now, seq, &settlement.disposition)?;
        moves.note(seq, before, after);
        match settlement.disposition {
            Disposition::Complete | Disposition::Bury { .. } => {
                if let Some(lane) = lane {
                    *wakes |= has_others && lane.unblock_first(conn, now)?;
                    *wakes |= has_kin && lane.unblock_juniors(conn, now)?;
                }
            }
            Disposition::Fail { .. }
            | Disposition::GiveBack { .. }
            | Disposition::Defer { .. }
            | Disposition::Snooze { .. } => {
                *wakes = true;
                if let Some(lane) = lane {
                    lane.give_way(conn, now, seq)?;
                    if has_kin {
                        give_way_to_elders(conn, seq)?;
                    }
                }
            }
        }
        Ok(Settled::Recorded)
    }
}

/// Called when the lease of this event is lost. If a foreign statement has finished the event, this
/// must unblock the next one: no trigger handles an event that ends while it is leased.
fn unblock_behind(conn: &Connection, now: i64, id: Uuid) -> rusqlite::Result<bool> {
    let unblocked = conn
        .prepare_cached(concat!(
            "SELECT ",
            lane_columns!(),
            " FROM outbox_events WHERE id = ?1 AND open IS NULL"
        ))?
        .query_row(params![id], |row| {
            Lane::of(row, 0)?.unblock_next_if_idle(conn, now)
        })
        .optional()?;
    Ok(unblocked.unwrap_or(false))
}

/// The event's class while a worker holds it, and after the worker's report.
fn classes(attempts: u32, cause: Cause) -> (Class, Class) {
    let before = Class::of(OutboxStatus::Processing, attempts);
    let reported = status_after(Standing::reported(attempts), cause);
    let after = reported.map_or(before, |status| Class::of(status, attempts));
    (before, after)
}

/// The beginning of a statement that takes the attempt in progress off the count. `?2` is the
/// current time, and `?3` the new due time, if given.
macro_rules! given_back {
    () => {
        concat!(
            "UPDATE outbox_events
             SET status = CASE WHEN attempt_count > 1 THEN 'failed' ELSE 'pending' END,
                 slot = CASE WHEN ?3 > ?2 THEN 'waiting' ELSE 'ready' END,
                 attempt_count = max(attempt_count - 1, 0), lease_token = NULL, lease_expires_at = NULL, crashes = 0, "
        )
    };
}

fn write_outcome(
    conn: &Connection,
    complete: &mut CachedStatement<'_>,
    now: i64,
    seq: i64,
    disposition: &Disposition,
) -> rusqlite::Result<()> {
    let write = |sql: &str, values: &[&dyn ToSql]| {
        conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    };
    match disposition {
        Disposition::Complete => complete.execute([seq, now]).map(drop),
        Disposition::Fail {
            next_attempt_at,
            message,
        } => write(
            "UPDATE outbox_events
             SET status = 'failed', slot = CASE WHEN ?3 > ?2 THEN 'waiting' ELSE 'ready' END,
                 next_attempt_at = ?3, error_message = ?4, lease_token = NULL, lease_expires_at = NULL, crashes = 0
             WHERE seq = ?1",
            &[&seq, &now, &next_attempt_at.timestamp_micros(), message],
        ),
        Disposition::Bury { reason, message } => write(
            concat!(buried!(), ", crashes = 0 WHERE seq = ?1"),
            &[&seq, &reason.as_str(), message],
        ),
        Disposition::GiveBack {
            next_attempt_at,
            refusal,
        } => write(
            concat!(
                given_back!(),
                "next_attempt_at = coalesce(?3, min(next_attempt_at, ?2)), last_refusal = coalesce(?4, last_refusal)
                 WHERE seq = ?1"
            ),
            &[
                &seq,
                &now,
                &next_attempt_at.map(|due| due.timestamp_micros()),
                &refusal.as_ref().map(Refusal::to_string),
            ],
        ),
        Disposition::Defer {
            next_attempt_at,
            refusal,
        } => write(
            concat!(
                given_back!(),
                "next_attempt_at = ?3, last_refusal = ?4, deferred_since = coalesce(deferred_since, ?2), deferrals = ",
                one_more!("deferrals"),
                " WHERE seq = ?1"
            ),
            &[
                &seq,
                &now,
                &next_attempt_at.timestamp_micros(),
                &refusal.to_string(),
            ],
        ),
        Disposition::Snooze { next_attempt_at } => write(
            concat!(
                given_back!(),
                "next_attempt_at = ?3, snoozes = ",
                one_more!("snoozes"),
                " WHERE seq = ?1"
            ),
            &[&seq, &now, &next_attempt_at.timestamp_micros()],
        ),
    }
}

//! Leases: renewing them, and rescuing events whose lease has ended.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::bury::{buried_open, buried_slot};
use super::elders::give_way_to_elders;
use super::lane::{Lane, lane_columns};
use super::row::{count_of, one_more};
use super::tally::Moves;
use crate::claim::Lease;
use crate::clock;
use crate::event::{DeadReason, OutboxStatus};
use crate::outcome::LEASE_EXPIRED;
use crate::repository::Rescued;
use crate::store::kit::Class;

/// Whether this crash makes as many in a row as the event may have attempts.
macro_rules! last_crash {
    () => {
        concat!(one_more!("crashes"), " >= max_attempts")
    };
}

/// Extends a lease that no other worker has taken over, whether it has ended or not.
pub(super) fn extend(
    conn: &Connection,
    now: DateTime<Utc>,
    held: &Lease,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Lease>> {
    let expires_at = clock::after(now, lease);
    let moved = conn
        .prepare_cached(
            // After a backward clock jump, the renewed lease starts at the new time, and
            // `follow_clock` has nothing to correct.
            "UPDATE outbox_events
             SET lease_expires_at = ?1, last_attempt_at = min(last_attempt_at, ?4)
             WHERE id = ?2 AND lease_token = ?3 AND slot = 'leased'",
        )?
        .execute(params![
            expires_at.timestamp_micros(),
            held.event_id,
            held.token.as_uuid(),
            now.timestamp_micros()
        ])?;
    Ok((moved == 1).then_some(Lease {
        expires_at,
        ..*held
    }))
}

/// Rescues events whose lease has ended. One statement selects and writes, so an event settled
/// meanwhile is not touched.
pub(super) fn rescue(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Rescued> {
    rescue_ended_by(conn, now, now.timestamp_micros())
}

/// Rescues only these leases, each if it has ended and is unchanged.
pub(super) fn rescue_only(
    conn: &Connection,
    now: DateTime<Utc>,
    leases: &[Lease],
) -> rusqlite::Result<Rescued> {
    end_leases(conn, leases, now, LONG_AGO)?;
    rescue_ended_by(conn, now, LONG_AGO)
}

/// Earlier than any lease ends by itself.
const LONG_AGO: i64 = i64::MIN;

/// Sets the end of each of these leases to `at`, if it was not renewed and has ended by `now`.
fn end_leases(
    conn: &Connection,
    leases: &[Lease],
    now: DateTime<Utc>,
    at: i64,
) -> rusqlite::Result<()> {
    let mut end = conn.prepare_cached(
        "UPDATE outbox_events SET lease_expires_at = ?4
         WHERE id = ?1 AND lease_token = ?2 AND lease_expires_at = ?3 AND slot = 'leased'",
    )?;
    for lease in leases.iter().filter(|lease| lease.expires_at <= now) {
        let ends = lease.expires_at.timestamp_micros();
        end.execute(params![lease.event_id, lease.token.as_uuid(), ends, at])?;
    }
    Ok(())
}

fn rescue_ended_by(
    conn: &Connection,
    now: DateTime<Utc>,
    ended_by: i64,
) -> rusqlite::Result<Rescued> {
    follow_clock(conn, now)?;
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE outbox_events
         SET status = CASE WHEN ",
        last_crash!(),
        " THEN 'dead' WHEN attempt_count > 1 THEN 'failed' ELSE 'pending' END,
             slot = CASE WHEN ",
        last_crash!(),
        " THEN ",
        buried_slot!(),
        " ELSE 'ready' END,
             open = CASE WHEN ",
        last_crash!(),
        " THEN ",
        buried_open!(),
        " ELSE 1 END,
             dead_reason = CASE WHEN ",
        last_crash!(),
        " THEN ?2 END,
             attempt_count = max(attempt_count - 1, 0), crashes = ",
        one_more!("crashes"),
        ", next_attempt_at = ?1, error_message = ?3, lease_token = NULL, lease_expires_at = NULL
         WHERE slot = 'leased' AND lease_expires_at <= ?4
         RETURNING seq, status = 'dead', attempt_count, ",
        lane_columns!()
    ))?;
    let now = now.timestamp_micros();
    let mut rows = statement.query(params![
        now,
        DeadReason::CrashLoop.as_str(),
        LEASE_EXPIRED,
        ended_by
    ])?;
    let mut rescued = Rescued::default();
    let mut moves = Moves::default();
    while let Some(row) = rows.next()? {
        let lane = Lane::of(row, 3)?;
        let seq = row.get(0)?;
        if row.get(1)? {
            let attempts = count_of(row.get(2)?).saturating_add(1);
            let before = Class::of(OutboxStatus::Processing, attempts);
            moves.note(seq, before, Class::Dead);
            lane.unblock_next(conn, now)?;
            rescued.buried += 1;
        } else {
            // Its class does not change: pending after a first attempt, failed after a later one.
            lane.give_way(conn, now, seq)?;
            give_way_to_elders(conn, seq)?;
            rescued.requeued += 1;
        }
    }
    moves.write(conn)?;
    Ok(rescued)
}

/// Corrects leases that begin in the future: they were taken before the clock was set back, and
/// would last longer by as much.
fn follow_clock(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outbox_events
         SET lease_expires_at = ?1 + max(lease_expires_at - last_attempt_at, 0), last_attempt_at = ?1
         WHERE slot = 'leased' AND last_attempt_at > ?1",
    )?
    .execute([now.timestamp_micros()])?;
    Ok(())
}

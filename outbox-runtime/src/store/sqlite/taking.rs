//! Leases the rows that a claim has found.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::bury::buried;
use super::lane::{Lane, lane_columns};
use super::row::ReadRow;
use super::tally::Moves;
use crate::claim::{Claim, ClaimRequest, Lease, LeaseToken};
use crate::clock;
use crate::event::DeadReason;
use crate::outcome::{Cause, Transition, bounded};
use crate::store::kit::Class;

/// Leases the events of these rows, and counts the attempt. Damaged rows become dead letters
/// instead.
///
/// The writer holds the database's only write lock, so the rows are unchanged since they were read.
/// `UPDATE .. RETURNING` would read and write in one statement, but through a temporary table,
/// which is slower.
pub(super) fn take(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
    rows: Vec<ReadRow>,
) -> rusqlite::Result<Vec<Claim>> {
    let token = LeaseToken::random();
    let mut lease_row = conn.prepare_cached(
        "UPDATE outbox_events
         SET status = 'processing', slot = 'leased', attempt_count = ?2, last_attempt_at = ?3, lease_token = ?4,
             lease_expires_at = ?5
         WHERE seq = ?1",
    )?;
    let mut claims = Vec::with_capacity(rows.len());
    let mut moves = Moves::default();
    for ReadRow { mut event, damage } in rows {
        let before = Class::of(event.status, event.attempt_count);
        if let Some(damage) = damage {
            bury_unreadable(conn, now, event.seq, &damage)?;
            moves.note(event.seq, before, Class::Dead);
            continue;
        }
        let Some(claimed) = Transition::of(&event, Cause::Claim) else {
            // A table constraint excludes this: only claimable events are `ready`.
            continue;
        };
        claimed.apply(&mut event);
        let expires_at = clock::after(now, request.lease_for(&event.event_type));
        event.last_attempt_at = Some(now);
        event.lease_token = Some(token.as_uuid());
        event.lease_expires_at = Some(expires_at);
        lease_row.execute(params![
            event.seq,
            event.attempt_count,
            now.timestamp_micros(),
            token.as_uuid(),
            expires_at.timestamp_micros()
        ])?;
        // Usually the same class. It differs only where the attempt count is not one that this
        // library writes.
        let after = Class::of(event.status, event.attempt_count);
        moves.note(event.seq, before, after);
        claims.push(Claim {
            lease: Lease {
                event_id: event.id,
                token,
                expires_at,
            },
            event,
        });
    }
    moves.write(conn)?;
    Ok(claims)
}

fn bury_unreadable(
    conn: &Connection,
    now: DateTime<Utc>,
    seq: i64,
    damage: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        buried!(),
        " WHERE seq = ?1 RETURNING ",
        lane_columns!()
    ))?
    .query_row(
        params![seq, DeadReason::Undecodable.as_str(), bounded(damage)],
        |row| Lane::of(row, 0)?.unblock_next(conn, now.timestamp_micros()),
    )?;
    Ok(())
}

//! The usual outcome, in one statement: of an event that was delivered at its first attempt, and
//! that is alone in its lane.
//!
//! [`Outcomes`](super::outcomes::Outcomes) reads the row of any other event first, to decide what
//! becomes of it and of the events behind it.

use rusqlite::{CachedStatement, Connection, params};

use super::held::Claimed;
use crate::claim::Lease;

/// Completes the event if it is fresh, has the order `entity`, is placed, and has no other event in
/// its lane.
pub(super) fn statement(conn: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    conn.prepare_cached(
        "UPDATE outbox_events
         SET status = 2, slot = NULL, lane = NULL, attempt_count = 1, last_attempt_at = ?3, completed_at = ?4,
             error_message = NULL, crashes = 0
         WHERE seq = ?1 AND id = ?2 AND status = 0 AND attempt_count = 0 AND lane_order = 0 AND lane <> 0
             AND NOT EXISTS (SELECT 1 FROM outbox_events AS other INDEXED BY outbox_lane
                 WHERE other.lane = outbox_events.lane AND other.seq <> outbox_events.seq)",
    )
}

/// Runs the statement. Returns whether it applied.
pub(super) fn complete(
    statement: &mut CachedStatement<'_>,
    lease: &Lease,
    claim: &Claimed,
    now: i64,
) -> rusqlite::Result<bool> {
    // SQLite gives the highest `seq` away again, so the id is compared as well.
    let values = params![lease.seq, lease.event_id, claim.claimed_at, now];
    Ok(statement.execute(values)? > 0)
}

//! Completing an event on any connection, before its handler answers.
//!
//! What [`Outcomes`](super::outcomes::Outcomes) does for many outcomes at once, this does for one
//! completion by statements alone, which any driver can run. What the event held back is unblocked
//! by the trigger that does so for a deleted event.

use chrono::{DateTime, Utc};

use super::database::{Database, values};
use super::elders::MAY_BE_ANYWHERE;
use super::outcome_writing::{COMPLETE, LEAVE_ENTITY};
use super::outcomes::{HeldRow, held_row};
use super::triggers::LEAVES;
use super::{claims, cleanup, codes, completions, tally, waits};
use crate::completion::Completion;
use crate::entity::Order;
use crate::outcome::{Cause, Transition};
use crate::store::kit::Class;

/// Completes an event under its lease, and notes that for the outcome that its handler answers.
/// Returns `false` if the lease is lost; then, and after an error, writes may be left behind.
pub(super) async fn complete<D: Database>(
    db: &D,
    now: DateTime<Utc>,
    completion: &Completion,
) -> Result<bool, D::Error> {
    let lease = completion.lease;
    let now = now.timestamp_micros();
    // The first statement writes, so a transaction that has not read yet waits for the write lock
    // and is never stale.
    if !completions::note(db, now, &lease).await? {
        return Ok(true);
    }
    let seq = lease.seq;
    let token = lease.token.as_uuid();
    let Some(claim) = claims::take_out(db, token, seq, now).await? else {
        return Ok(false);
    };
    // SQLite gives the highest `seq` away again, so the id is compared as well.
    let sql = concat!(
        "SELECT ",
        held_row!(),
        ", slot, coalesce(entity_lane, lane) FROM outbox_events WHERE seq = ?1 AND id = ?2"
    );
    let Some(columns) = db.row(sql, values![seq, lease.event_id]).await? else {
        return Ok(false);
    };
    let Ok(row) = HeldRow::of(&columns);
    let Some(row) = row else {
        return Ok(false);
    };
    let standing = row.standing();
    let transition = Transition::from(standing, Cause::Complete);
    let Some((transition, status)) = transition.and_then(|row| Some((row, row.to?))) else {
        // The table of transitions has one for each cause.
        return Ok(false);
    };
    let attempts = transition.attempts.after(standing.attempt_count);
    let written = values![seq, attempts, claim.claimed_at, now];
    db.change(COMPLETE, written).await?;
    if row.order != Order::Entity {
        db.change(LEAVE_ENTITY, values![seq]).await?;
    }
    let [before, after] = [row.status, status].map(|status| Class::of(status, row.attempts));
    tally::note(db, now, seq, before, after).await?;
    waits::free(db, seq).await?;
    if row.lane != codes::UNPLACED && others_may_wait(db, &row).await? {
        let (slot, entity_lane) = (columns.integer(SLOT), columns.integer(SLOT + 1));
        let left = values![seq, slot, row.lane, entity_lane];
        db.change(LEAVES, left).await?;
    }
    if !completion.is_kept {
        cleanup::delete_one_delivered(db, seq).await?;
    }
    Ok(true)
}

/// The position of the first column after those of [`held_row`].
const SLOT: usize = 9;

/// Whether an event of its lane, or of the same entity under another order, may wait for this one.
async fn others_may_wait<D: Database>(db: &D, row: &HeldRow) -> Result<bool, D::Error> {
    if row.has_others || row.order != Order::Entity {
        return Ok(true);
    }
    db.is(MAY_BE_ANYWHERE, &[]).await
}

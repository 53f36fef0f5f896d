//! Outcomes of claimed events, each written under its lease.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::codes::Code;
use super::completions;
use super::database::{OnConnection, at_once};
use super::held::Claimed;
use super::lane::{Lane, Lanes, lane_columns};
use super::outcomes::{HeldRow, Outcomes, held_row};
use super::waits;
use crate::claim::Lease;
use crate::event::OutboxStatus;
use crate::outcome::{Settled, Settlement};

/// Writes outcomes, each if its lease still holds. Sets `wakes` if another event became claimable.
/// With `keeps_deliveries`, histories have deliveries as well.
pub(super) fn settle_all(
    conn: &Connection,
    now: DateTime<Utc>,
    settlements: &[Settlement],
    keeps_deliveries: bool,
    wakes: &mut bool,
) -> rusqlite::Result<Vec<Settled>> {
    let now = now.timestamp_micros();
    let mut outcomes = Outcomes::new(conn, now)?;
    outcomes.keeps_deliveries = keeps_deliveries;
    // The row is read first, and the lane in place; `UPDATE .. RETURNING` would copy it to a
    // temporary table.
    let mut find = conn.prepare_cached(concat!(
        "SELECT ",
        held_row!(),
        " FROM outbox_events WHERE seq = ?1 AND id = ?2"
    ))?;
    let mut settled = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let Lease {
            event_id,
            seq,
            token,
            ..
        } = settlement.lease;
        let holds = |claim: &Claimed| claim.expires_at > now;
        let claim = outcomes.claims.find(conn, token.as_uuid(), seq, holds)?;
        let mut is_written = false;
        if let Some(claim) = claim {
            is_written =
                outcomes.complete_alone(&settlement.lease, &claim, &settlement.disposition)?;
            if !is_written {
                // SQLite gives the highest `seq` away again, so the id is compared as well.
                let row = find.query_row(params![seq, event_id], HeldRow::read);
                if let Some(row) = row.optional()?.flatten() {
                    let written = outcomes.settle(&row, &claim, &settlement.disposition)?;
                    is_written = written.is_some();
                }
            }
        }
        settled.push(if is_written {
            Settled::Recorded
        } else {
            outcomes.claims.write(conn)?;
            lost(conn, &mut outcomes, settlement)?
        });
    }
    *wakes |= outcomes.finish()?;
    Ok(settled)
}

/// Writes one outcome; see [`settle_all`].
pub(super) fn settle(
    conn: &Connection,
    now: DateTime<Utc>,
    settlement: &Settlement,
    keeps_deliveries: bool,
    wakes: &mut bool,
) -> rusqlite::Result<Settled> {
    let settlements = std::slice::from_ref(settlement);
    let settled = settle_all(conn, now, settlements, keeps_deliveries, wakes)?;
    Ok(settled.first().copied().unwrap_or(Settled::LeaseLost))
}

/// Called when an outcome was not written: the handler had completed the event, or its lease is
/// lost.
fn lost(
    conn: &Connection,
    outcomes: &mut Outcomes<'_>,
    settlement: &Settlement,
) -> rusqlite::Result<Settled> {
    if completions::take(conn, &settlement.lease, outcomes.keeps_deliveries)? {
        return Ok(Settled::AlreadyCompleted);
    }
    let event_id = settlement.lease.event_id;
    outcomes.wakes |= unblock_behind(conn, outcomes.now, event_id)?;
    Ok(Settled::LeaseLost)
}

/// Called when the lease of this event is lost. If a foreign statement has finished the event, this
/// must unblock the next one: no trigger handles an event that ends while a handler has it.
fn unblock_behind(conn: &Connection, now: i64, id: Uuid) -> rusqlite::Result<bool> {
    let mut finished = conn.prepare_cached(concat!(
        "SELECT ",
        lane_columns!(),
        ", seq, status FROM outbox_events WHERE id = ?1 AND slot IS NULL"
    ))?;
    let mut rows = finished.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(false);
    };
    // Where it is dead, a trigger has freed the events that waited for it.
    let is_completed = OutboxStatus::of(row.get(5)?) == Some(OutboxStatus::Completed);
    let frees = is_completed && at_once(waits::free(&OnConnection(conn), row.get(4)?))?;
    let mut lanes = Lanes::new(conn, now)?;
    Ok(lanes.unblock_next_if_idle(&Lane::of(lanes.key, row, 0)?)? || frees)
}

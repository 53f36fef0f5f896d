//! Leases: renewing them, and rescuing events whose lease has ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::claims::{self, OpenClaims};
use super::codes::Code;
use super::completions;
use super::held::{Claimed, Held};
use super::lane::Lanes;
use super::outcomes::{HeldRow, Outcomes, held_row};
use super::processes;
use crate::claim::Lease;
use crate::clock;
use crate::entity::Order;
use crate::event::OutboxStatus;
use crate::repository::Rescued;

/// Renews leases that no other worker has taken over, whether they have ended or not, each for its
/// duration from now. Events whose leases were renewed once are parked: they take long.
pub(super) fn extend<'l>(
    conn: &Connection,
    now: DateTime<Utc>,
    leases: impl Iterator<Item = (&'l Lease, Duration)>,
) -> rusqlite::Result<Vec<Option<Lease>>> {
    let mut open = OpenClaims::default();
    let mut moved: Vec<(Claimed, Vec<i64>)> = Vec::new();
    let mut renewed = Vec::new();
    for (lease, duration) in leases {
        let expires_at = clock::after(now, duration);
        let token = lease.token.as_uuid();
        let seq = held_seq(conn, lease)?;
        let claim = match seq {
            Some(seq) => open.find(conn, token, seq, |_| true)?,
            None => None,
        };
        let (Some(seq), Some(claim)) = (seq, claim) else {
            // Renewed earlier in the same call, if the caller names it twice.
            let again = moved.iter().any(|(claim, seqs)| {
                claim.token == token && seq.is_some_and(|seq| seqs.contains(&seq))
            });
            let is_held = again || completions::is_noted(conn, lease)?;
            renewed.push(is_held.then_some(Lease {
                expires_at,
                ..*lease
            }));
            continue;
        };
        open.release(conn, &claim, seq)?;
        let claim = Claimed {
            token,
            expires_at: expires_at.timestamp_micros(),
            // After a backward clock jump, the renewed lease starts at the new time, and
            // `follow_clock` has nothing to correct.
            claimed_at: claim.claimed_at.min(now.timestamp_micros()),
        };
        match moved.iter_mut().find(|(other, _)| *other == claim) {
            Some((_, seqs)) => seqs.push(seq),
            None => moved.push((claim, vec![seq])),
        }
        renewed.push(Some(Lease {
            expires_at,
            ..*lease
        }));
    }
    open.write(conn)?;
    for (claim, seqs) in moved {
        for seq in &seqs {
            claims::park(conn, *seq)?;
        }
        claims::add(conn, &claim, true, seqs.into_iter())?;
    }
    Ok(renewed)
}

/// The `seq` of an event that a handler may have.
fn held_seq(conn: &Connection, lease: &Lease) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT seq FROM outbox_events WHERE seq = ?1 AND id = ?2 AND status < 2")?
        .query_row(params![lease.seq, lease.event_id], |row| row.get(0))
        .optional()
}

/// Rescues the events of claims that have ended, or whose process is known to be gone. With
/// `alone`, no other process can hold leases.
pub(super) fn rescue(
    conn: &Connection,
    now: DateTime<Utc>,
    alone: bool,
) -> rusqlite::Result<Rescued> {
    let held = follow_clock(conn, now, Held::read(conn)?)?;
    unpark(conn, now, &held)?;
    completions::forget(conn, now)?;
    let gone = processes::gone(conn, &held, alone)?;
    let ended = now.timestamp_micros();
    rescue_if(conn, now, &held, |claim, _| {
        claim.expires_at <= ended || gone.contains(&processes::process_of(claim.token))
    })
}

/// Rescues only these leases, each if it has ended and is unchanged.
pub(super) fn rescue_only(
    conn: &Connection,
    now: DateTime<Utc>,
    leases: &[Lease],
) -> rusqlite::Result<Rescued> {
    let mut named = Vec::new();
    for lease in leases.iter().filter(|lease| lease.expires_at <= now) {
        if let Some(seq) = held_seq(conn, lease)? {
            let ends = lease.expires_at.timestamp_micros();
            named.push((seq, lease.token.as_uuid(), ends));
        }
    }
    let held = Held::read(conn)?;
    let rescued = rescue_if(conn, now, &held, |claim, seq| {
        named.contains(&(seq, claim.token, claim.expires_at))
    })?;
    follow_clock(conn, now, held)?;
    Ok(rescued)
}

fn rescue_if(
    conn: &Connection,
    now: DateTime<Utc>,
    held: &Held,
    is_over: impl Fn(&Claimed, i64) -> bool,
) -> rusqlite::Result<Rescued> {
    let over = held
        .seqs()
        .filter_map(|seq| Some((seq, *held.of(seq)?)))
        .filter(|(seq, claim)| is_over(claim, *seq));
    let mut outcomes = Outcomes::new(conn, now.timestamp_micros())?;
    let mut find = conn.prepare_cached(concat!(
        "SELECT ",
        held_row!(),
        " FROM outbox_events WHERE seq = ?1"
    ))?;
    let mut rescued = Rescued::default();
    for (seq, claim) in over {
        let row = find.query_row(params![seq], HeldRow::read).optional()?;
        let status = match row.flatten() {
            Some(row) => outcomes.rescue(&row, &claim)?,
            None => {
                // Other SQL has finished the event; settling it unblocks the next one.
                outcomes.claims.release(conn, &claim, seq)?;
                None
            }
        };
        match status {
            Some(OutboxStatus::Dead) => rescued.buried += 1,
            Some(_) => rescued.requeued += 1,
            None => {}
        }
    }
    outcomes.finish()?;
    Ok(rescued)
}

/// Corrects leases that begin in the future: they were taken before the clock was set back, and
/// would last longer by as much.
fn follow_clock(conn: &Connection, now: DateTime<Utc>, held: Held) -> rusqlite::Result<Held> {
    let now = now.timestamp_micros();
    if !held.any_begins_after(now) {
        return Ok(held);
    }
    let mut ahead = conn.prepare_cached(
        "SELECT token, expires_at, claimed_at, parked, seqs FROM outbox_claims WHERE claimed_at > ?1",
    )?;
    let ahead = ahead.query_map([now], |row| {
        let claim = Claimed {
            token: row.get(0)?,
            expires_at: row.get(1)?,
            claimed_at: row.get(2)?,
        };
        let seqs: Vec<i64> =
            super::held::seqs_of(row.get_ref(4)?.as_bytes().unwrap_or_default()).collect();
        Ok((claim, row.get(3)?, seqs))
    })?;
    let ahead: Vec<(Claimed, bool, Vec<i64>)> = ahead.collect::<rusqlite::Result<_>>()?;
    for (claim, is_parked, seqs) in ahead {
        claims::remove(conn, &claim)?;
        let lasts = claim.expires_at.saturating_sub(claim.claimed_at).max(0);
        let corrected = Claimed {
            expires_at: now.saturating_add(lasts),
            claimed_at: now,
            ..claim
        };
        claims::add(conn, &corrected, is_parked, seqs.into_iter())?;
    }
    Held::read(conn)
}

/// Puts events back in line that are parked though no handler has them: other SQL deleted their
/// claim. Several of them may be of one lane.
fn unpark(conn: &Connection, now: DateTime<Utc>, held: &Held) -> rusqlite::Result<()> {
    let mut parked = conn.prepare_cached(
        "SELECT seq, lane, lane_order FROM outbox_events INDEXED BY outbox_aside WHERE slot = 4",
    )?;
    let parked = parked.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let parked: Vec<(i64, i64, i64)> = parked.collect::<rusqlite::Result<_>>()?;
    let left = parked.into_iter().filter(|(seq, ..)| !held.has(*seq));
    let left: Vec<(i64, i64, i64)> = left.collect();
    let mut block = conn.prepare_cached("UPDATE outbox_events SET slot = 3 WHERE seq = ?1")?;
    for (seq, ..) in &left {
        block.execute([seq])?;
    }
    let lanes = Lanes::new(conn, now.timestamp_micros())?;
    for (seq, lane, order) in left {
        if Order::of(order) == Some(Order::None) {
            lanes.unblock(seq)?;
        } else if !lanes.is_busy(lane)? {
            lanes.unblock_first(lane)?;
        }
    }
    Ok(())
}

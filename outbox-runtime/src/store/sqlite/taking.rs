//! Leases the rows that a claim has found.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::bury::bury;
use super::claims;
use super::held::{Claimed, Held};
use super::row::ReadRow;
use super::tally::Moves;
use crate::claim::{Claim, ClaimRequest, Lease, LeaseToken};
use crate::clock;
use crate::event::{DeadReason, OutboxEvent};
use crate::outcome::{Cause, Transition, bounded};
use crate::store::kit::Class;

/// How many events with handlers may be in the way of a claim, for each event that it takes, before
/// they are parked. Parking an event costs as much as stepping over it some twenty times, so it
/// pays where handlers take long.
const MOST_STEPS: usize = 8;

/// Leases the events of these rows, and counts the attempt: in the claim, not in the rows. Damaged
/// rows become dead letters instead.
///
/// The writer holds the database's only write lock, so the rows are unchanged since they were read.
pub(super) fn take(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
    held: &Held,
    rows: Vec<ReadRow>,
) -> rusqlite::Result<Vec<Claim>> {
    let mut claims = Vec::with_capacity(rows.len());
    let mut leases: Vec<Taken> = Vec::new();
    let mut moves = Moves::default();
    for ReadRow { mut event, damage } in rows {
        if let Some(damage) = damage {
            bury_unreadable(conn, &event, &damage)?;
            let before = Class::of(event.status, event.attempt_count);
            moves.note(event.seq, before, Class::Dead);
            continue;
        }
        if Transition::of(&event, Cause::Claim).is_none() {
            // A table constraint excludes this: only claimable events are ready.
            continue;
        }
        let expires_at = clock::after(now, request.lease_for(&event.event_type));
        let taken = Taken::under(&mut leases, now, expires_at);
        taken.seqs.push(event.seq);
        taken.claim.show(&mut event);
        event.last_attempt_at = Some(now);
        event.lease_expires_at = Some(expires_at);
        claims.push(Claim {
            lease: Lease {
                event_id: event.id,
                seq: event.seq,
                token: taken.claim.token.into(),
                expires_at,
            },
            event,
        });
    }
    if !claims.is_empty() && held.in_the_way().len() > MOST_STEPS * claims.len() {
        claims::park_all(conn, held)?;
    }
    for taken in leases {
        claims::add(conn, &taken.claim, false, taken.seqs.into_iter())?;
    }
    moves.write(conn, now.timestamp_micros())?;
    Ok(claims)
}

/// The events that are leased for equally long.
struct Taken {
    expires_at: DateTime<Utc>,
    claim: Claimed,
    seqs: Vec<i64>,
}

impl Taken {
    fn under(leases: &mut Vec<Self>, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> &mut Self {
        let place = leases
            .iter()
            .position(|lease| lease.expires_at == expires_at);
        let place = place.unwrap_or_else(|| {
            leases.push(Self {
                expires_at,
                claim: Claimed {
                    token: LeaseToken::random().as_uuid(),
                    expires_at: expires_at.timestamp_micros(),
                    claimed_at: now.timestamp_micros(),
                },
                seqs: Vec::new(),
            });
            leases.len() - 1
        });
        &mut leases[place]
    }
}

/// A trigger unblocks the events behind it.
fn bury_unreadable(conn: &Connection, event: &OutboxEvent, damage: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(bury!(), " WHERE seq = ?1"))?
        .execute(params![
            event.seq,
            super::bury::slot(event.on_dead),
            crate::store::sqlite::codes::Code::code(DeadReason::Undecodable),
            bounded(damage)
        ])?;
    Ok(())
}

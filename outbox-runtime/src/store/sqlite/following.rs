//! Following: leasing the events behind a leased one.
//!
//! The followers are listed in a claim with the token and the end of the lease that they follow.
//! They are parked, so that none of them looks blocked to what hands the lane on when an event of
//! it ends.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::claims;
use super::codes::UNPLACED;
use super::elders::row_has_elders;
use super::held::{Claimed, Held, time};
use super::pausing;
use super::place::place_all;
use super::row::{ReadRow, claimed_columns, read_ready};
use super::waits::row_waits;
use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::event::OutboxEvent;
use crate::metadata::RawMetadata;
use crate::store::kit::follows;

/// The number of columns of `claimed_columns!`, after which this file reads its own.
const OWN: usize = super::row::COLUMNS - 2;

/// Leases the events that come next in the lanes of leased ones.
pub(super) fn follow(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &FollowRequest,
) -> rusqlite::Result<Vec<Claim>> {
    let mut following = Following::new(conn, now, request)?;
    let mut followers = Vec::new();
    for lease in request.after() {
        let Some((claim, last, lane)) = following.held(lease)? else {
            continue;
        };
        let events = following.behind(last, lane)?;
        followers.push((claim, events));
        if following.is_full {
            break;
        }
    }
    let mut claims = Vec::new();
    for (claim, events) in followers {
        take(conn, now, &claim, events, &mut claims)?;
    }
    Ok(claims)
}

/// A request, and what it was answered so far.
struct Following<'c> {
    now: DateTime<Utc>,
    held: Held,
    /// Without the paused events.
    unpaused: ClaimRequest,
    places_left: usize,
    bytes_left: usize,
    /// An event had no place left.
    is_full: bool,
    taken: HashSet<i64>,
    first: CachedStatement<'c>,
    next: CachedStatement<'c>,
}

impl<'c> Following<'c> {
    fn new(
        conn: &'c Connection,
        now: DateTime<Utc>,
        request: &FollowRequest,
    ) -> rusqlite::Result<Self> {
        let held = Held::read(conn)?;
        // An event that has no place yet may be between the others.
        place_all(conn, now.timestamp_micros(), &held)?;
        let all = ClaimRequest::new(request.limit(), Duration::ZERO);
        let unpaused = pausing::read(conn)?.applied(&all, now).into_owned();
        Ok(Self {
            now,
            held,
            unpaused,
            places_left: request.limit(),
            bytes_left: request.max_bytes(),
            is_full: false,
            taken: HashSet::new(),
            first: conn.prepare_cached(concat!(
                "SELECT ",
                claimed_columns!(),
                ", lane FROM outbox_events WHERE seq = ?1 AND id = ?2"
            ))?,
            next: conn.prepare_cached(concat!(
                "SELECT ",
                claimed_columns!(),
                ", slot = 3 AND NOT ",
                row_waits!(),
                " AND NOT ",
                row_has_elders!(),
                " FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 AND seq > ?2 ORDER BY seq"
            ))?,
        })
    }

    /// The claim of a lease that is in force, its event, and the number of the event's lane.
    fn held(&mut self, lease: &Lease) -> rusqlite::Result<Option<(Claimed, OutboxEvent, i64)>> {
        let now = self.now.timestamp_micros();
        let claim = self.held.of(lease.seq).copied();
        let in_force =
            |claim: &Claimed| claim.token == lease.token.as_uuid() && claim.expires_at > now;
        let Some(claim) = claim.filter(in_force) else {
            return Ok(None);
        };
        let found = self
            .first
            .query_row(params![lease.seq, lease.event_id], |row| {
                Ok((read_ready(row)?, row.get::<_, Option<i64>>(OWN)?))
            });
        Ok(match found.optional()? {
            Some((ReadRow { event, .. }, Some(lane))) if lane != UNPLACED => {
                Some((claim, event, lane))
            }
            _ => None,
        })
    }

    /// The events directly behind this one, up to the first that waits for something else or has no
    /// place left.
    fn behind(&mut self, mut last: OutboxEvent, lane: i64) -> rusqlite::Result<Vec<OutboxEvent>> {
        let mut events = Vec::new();
        let mut rows = self.next.query(params![lane, last.seq])?;
        while let Some(row) = rows.next()? {
            let (seq, is_next): (i64, bool) = (row.get(0)?, row.get(OWN)?);
            if !is_next || self.held.has(seq) || self.taken.contains(&seq) {
                break;
            }
            let ReadRow { event, damage } = read_ready(row)?;
            if damage.is_some()
                || !self.unpaused.matches(&event)
                || !follows(&last, &event, self.now)
            {
                break;
            }
            let bytes = event.metadata.as_ref().map_or(0, RawMetadata::len);
            if self.places_left == 0 || bytes > self.bytes_left {
                self.is_full = true;
                break;
            }
            self.places_left -= 1;
            self.bytes_left -= bytes;
            self.taken.insert(seq);
            last = event.clone();
            events.push(event);
        }
        Ok(events)
    }
}

/// Leases these events as long as the claim that they follow.
fn take(
    conn: &Connection,
    now: DateTime<Utc>,
    claim: &Claimed,
    events: Vec<OutboxEvent>,
    claims: &mut Vec<Claim>,
) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let own = Claimed {
        claimed_at: now.timestamp_micros(),
        ..*claim
    };
    let mut park =
        conn.prepare_cached("UPDATE outbox_events SET slot = 4 WHERE seq = ?1 AND slot = 3")?;
    for event in &events {
        park.execute([event.seq])?;
    }
    claims::add(conn, &own, true, events.iter().map(|event| event.seq))?;
    claims.extend(events.into_iter().map(|mut event| {
        own.show(&mut event);
        Claim {
            lease: Lease {
                event_id: event.id,
                seq: event.seq,
                token: own.token.into(),
                expires_at: time(own.expires_at),
            },
            event,
        }
    }));
    Ok(())
}

//! Which events handlers have.
//!
//! A claim is one row of `outbox_claims`: a token, and the `seq`s of its events. It rewrites no
//! event. The status `processing`, the attempt in progress and the lease of an event exist only
//! here, until its outcome is written to its row. All other files ask this one whether a handler
//! has an event: the SQL fragments [`held`] and [`not_held`], or the type [`Held`].
//!
//! A row can be in a claim only while its own status is pending or failed. A listed event that
//! other SQL has finished meanwhile is ignored.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::database::Database;
use super::row::ReadRow;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Transition};

/// Whether a handler has the event with this `seq`: for triggers, the view, and statements about a
/// few rows.
macro_rules! held {
    ($seq:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM outbox_claims WHERE instr(seqs, ',' || ",
            $seq,
            " || ','))"
        )
    };
}
pub(super) use held;

/// Whether no handler has the event with this `seq`, given a list of [`json`] as the
/// parameter `:held`: for statements about many rows.
macro_rules! not_held {
    ($seq:literal) => {
        concat!($seq, " NOT IN (SELECT value FROM json_each(:held))")
    };
}
pub(super) use not_held;

const ALL_CLAIMS: &str = "SELECT token, expires_at, claimed_at, parked, seqs FROM outbox_claims";

/// A claim, or a part of one whose lease ends at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) token: Uuid,
    pub(super) expires_at: i64,
    pub(super) claimed_at: i64,
}

/// The events that handlers have, at one moment.
#[derive(Debug, Default)]
pub(super) struct Held {
    claims: Vec<Claimed>,
    /// By `seq`; the second number is the place in `claims`.
    events: Vec<(i64, usize)>,
    /// The events that are not parked.
    in_the_way: Vec<i64>,
}

impl Held {
    /// Reads all claims.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut claims = conn.prepare_cached(ALL_CLAIMS)?;
        let mut rows = claims.query([])?;
        let mut held = Self::default();
        while let Some(row) = rows.next()? {
            let is_parked = row.get::<_, i64>(3)? != 0;
            let seqs = row.get_ref(4)?.as_bytes().unwrap_or_default();
            held.add(Claimed::of(row)?, is_parked, seqs);
        }
        Ok(held.sorted())
    }

    /// Reads all claims on a connection of any driver.
    pub(super) async fn read_on<D: Database>(db: &D) -> Result<Self, D::Error> {
        let mut held = Self::default();
        for row in db.rows(ALL_CLAIMS, &[]).await? {
            let claim = Claimed {
                token: Uuid::from_slice(row.bytes(0)).unwrap_or_default(),
                expires_at: row.integer(1),
                claimed_at: row.integer(2),
            };
            held.add(claim, row.integer(3) != 0, row.bytes(4));
        }
        Ok(held.sorted())
    }

    /// Adds a claim with this list of events.
    fn add(&mut self, claim: Claimed, is_parked: bool, seqs: &[u8]) {
        let place = self.claims.len();
        let before = self.events.len();
        self.events.extend(seqs_of(seqs).map(|seq| (seq, place)));
        if !is_parked {
            let events = self.events[before..].iter();
            self.in_the_way.extend(events.map(|(seq, _)| *seq));
        }
        self.claims.push(claim);
    }

    fn sorted(mut self) -> Self {
        // The lists are sorted, as a rule, which this sort makes use of.
        self.events.sort();
        self
    }

    /// Reads the claim of one event.
    pub(super) fn of_one(conn: &Connection, seq: i64) -> rusqlite::Result<Self> {
        let mut claims = conn.prepare_cached(
            "SELECT token, expires_at, claimed_at FROM outbox_claims WHERE instr(seqs, ',' || ?1 || ',')",
        )?;
        let mut rows = claims.query(params![seq])?;
        let mut held = Self::default();
        if let Some(row) = rows.next()? {
            held.claims.push(Claimed::of(row)?);
            held.events.push((seq, 0));
        }
        Ok(held)
    }

    /// The claim of this event.
    pub(super) fn of(&self, seq: i64) -> Option<&Claimed> {
        let found = self.events.binary_search_by_key(&seq, |(seq, _)| *seq);
        let (_, place) = self.events.get(found.ok()?)?;
        self.claims.get(*place)
    }

    pub(super) fn has(&self, seq: i64) -> bool {
        !self.events.is_empty() && self.of(seq).is_some()
    }

    /// The events, by `seq`.
    pub(super) fn seqs(&self) -> impl Iterator<Item = i64> {
        self.events.iter().map(|(seq, _)| *seq)
    }

    /// When the first lease ends.
    pub(super) fn first_end(&self) -> Option<i64> {
        self.claims.iter().map(|claim| claim.expires_at).min()
    }

    /// Whether a lease begins later than `now`.
    pub(super) fn any_begins_after(&self, now: i64) -> bool {
        self.claims.iter().any(|claim| claim.claimed_at > now)
    }

    /// The events that a claim has to step over, because they are not parked.
    pub(super) fn in_the_way(&self) -> &[i64] {
        &self.in_the_way
    }

    /// The events and the tokens of their claims.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (i64, Uuid)> {
        let token = |place: usize| self.claims.get(place).map(|claim| claim.token);
        let events = self.events.iter();
        events.filter_map(move |(seq, place)| Some((*seq, token(*place)?)))
    }

    /// The events as a list for [`not_held`].
    pub(super) fn json(&self) -> String {
        json(self.seqs())
    }

    /// The event as it is, given its row: with the attempt in progress if a handler has it.
    pub(super) fn show(&self, mut row: ReadRow) -> ReadRow {
        if !self.events.is_empty()
            && let Some(claim) = self.of(row.event.seq)
        {
            claim.show(&mut row.event);
        }
        row
    }
}

impl Claimed {
    /// Reads the first three columns.
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            // A constraint holds its length.
            token: row.get(0).unwrap_or_default(),
            expires_at: row.get(1)?,
            claimed_at: row.get(2)?,
        })
    }

    /// Makes the event of a row the claimed event.
    pub(super) fn show(&self, event: &mut OutboxEvent) {
        let Some(claimed) = Transition::of(event, Cause::Claim) else {
            return;
        };
        claimed.apply(event);
        event.last_attempt_at = Some(time(self.claimed_at));
        event.lease_token = Some(self.token);
        event.lease_expires_at = Some(time(self.expires_at));
        debug_assert_eq!(event.status, OutboxStatus::Processing);
    }
}

/// Events as a JSON list, for [`not_held`].
pub(super) fn json(seqs: impl Iterator<Item = i64>) -> String {
    let mut list = String::from("[");
    for seq in seqs {
        if list.len() > 1 {
            list.push(',');
        }
        // Writing to a string does not fail.
        let _ = write!(list, "{seq}");
    }
    list.push(']');
    list
}

/// The numbers in a list such as `,17,18,`. Anything else in it is skipped.
pub(super) fn seqs_of(list: &[u8]) -> impl Iterator<Item = i64> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            if let Some(seq) = next_seq(&mut rest) {
                return Some(seq);
            }
        }
        None
    })
}

/// Reads up to the next comma, in one pass: every claim reads the `seq`s of all events with
/// handlers.
fn next_seq(rest: &mut &[u8]) -> Option<i64> {
    let list = *rest;
    let mut number: i64 = 0;
    for (at, byte) in list.iter().enumerate() {
        match byte {
            // Eighteen digits cannot overflow.
            b'0'..=b'9' if at < 18 => number = number * 10 + i64::from(byte - b'0'),
            b',' => {
                *rest = &list[at + 1..];
                return (at > 0).then_some(number);
            }
            _ => {
                let end = list.iter().position(|byte| *byte == b',');
                let (part, after) = list.split_at(end.unwrap_or(list.len()));
                *rest = after.get(1..).unwrap_or_default();
                return std::str::from_utf8(part).ok()?.parse().ok();
            }
        }
    }
    *rest = &[];
    (!list.is_empty()).then_some(number)
}

/// A list of `seq`s as a claim stores it.
pub(super) fn list_of(seqs: impl Iterator<Item = i64>) -> String {
    let mut list = String::from(",");
    for seq in seqs {
        // Writing to a string does not fail.
        let _ = write!(list, "{seq},");
    }
    list
}

/// A time of a row; one out of range is the nearest that can be shown.
pub(super) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written_and_skips_what_is_no_number() {
        let seqs = [
            17,
            18,
            1,
            999_999_999_999_999_999,
            i64::MAX,
            i64::MIN,
            -5,
            0,
        ];
        let list = list_of(seqs.into_iter());
        let read: Vec<i64> = seqs_of(list.as_bytes()).collect();
        assert_eq!(read, seqs);
        let odd = b",,7,x,8x,99999999999999999999,\xff,9";
        assert_eq!(seqs_of(odd).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(seqs_of(b",").count() + seqs_of(b"").count(), 0);
    }
}

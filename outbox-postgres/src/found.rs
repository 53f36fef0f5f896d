//! What the statements of a claim find.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_runtime::RawMetadata;
use outbox_runtime::store::{Claim, Lease};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::cursor::{Begin, Scanned};
use crate::place::Place;
use crate::row::{self, Leased};
use crate::scan::{FIRST_LEFT, FIRST_TURN, LEFT_AFTER_ALL};
use crate::store::PostgresStore;

/// What a stage found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) claims: Vec<Claim>,
    /// Events whose rows cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(Lease, String)>,
    /// The lanes of candidates that were behind another event, and the seqs of these candidates.
    pub(crate) behind: Vec<(i64, i64)>,
    /// Candidates that wait for a parent.
    pub(crate) waiting: Vec<Uuid>,
    pub(crate) has_notes: bool,
    /// Whether there may be more for some destination than was looked at.
    pub(crate) has_more: bool,
    pub(crate) last: Option<Place>,
    pub(crate) bytes: usize,
    /// Where the scan began.
    pub(crate) begin: Begin,
    pub(crate) scanned: Scanned,
    /// Whether the statement has looked for turns.
    pub(crate) has_looked: bool,
    /// Whether that look was at the users before the range as well.
    pub(crate) has_wrapped: bool,
}

impl Found {
    pub(crate) fn count(&self) -> usize {
        self.claims.len() + self.unreadable.len()
    }

    /// Whether more candidates may come after those of the scan.
    pub(crate) fn is_full(&self, scan: usize) -> bool {
        self.has_more || self.count() + self.behind.len() + self.waiting.len() >= scan
    }
}

/// What the first statement of a claim found.
#[derive(Debug, Default)]
pub(crate) struct FirstFound {
    pub(crate) in_order: Option<Found>,
    pub(crate) turns: Option<Found>,
    pub(crate) left: Left,
}

/// What fills the places that turns have left, in the order of the request.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) found: Found,
    /// Whether it comes before the turns in the claim.
    is_before_turns: bool,
}

impl Left {
    /// What comes before the turns, and what comes after them.
    pub(crate) fn around_turns(self) -> (Option<Found>, Option<Found>) {
        match self.is_before_turns {
            true => (Some(self.found), None),
            false => (None, Some(self.found)),
        }
    }
}

impl FirstFound {
    /// Whether candidates were behind other events.
    pub(crate) fn has_behind(&self) -> bool {
        let in_order = self.in_order.as_ref();
        in_order.is_some_and(|found| !found.behind.is_empty() || !found.waiting.is_empty())
    }
}

/// What a statement of a claim found in the order of the request, and by turns.
#[derive(Debug, Default)]
pub(crate) struct FoundBy {
    pub(crate) in_order: Found,
    pub(crate) turns: Found,
    pub(crate) left: Left,
    /// Nothing was leased, because the pauses of the database are not those of the request, or the
    /// claim has to look for elders and parents.
    pub(crate) is_outdated: bool,
}

impl FoundBy {
    /// The part to which the place with this number belongs.
    fn of(&mut self, nth: i64) -> &mut Found {
        match nth {
            ..FIRST_LEFT => &mut self.in_order,
            FIRST_TURN..LEFT_AFTER_ALL => &mut self.turns,
            _ => {
                self.left.is_before_turns = nth < FIRST_TURN;
                &mut self.left.found
            }
        }
    }
}

/// The columns before those of the event: a kind and two numbers.
const BEFORE_EVENT: usize = 3;

impl PostgresStore {
    /// Reads the rows of a stage, and notes the lanes of what it leased.
    pub(crate) fn read_found(
        &self,
        rows: &[Row],
        leased: &Leased<'_>,
    ) -> Result<FoundBy, tokio_postgres::Error> {
        let mut found = FoundBy::default();
        let mut claims: Vec<(i64, Claim)> = Vec::new();
        let mut lanes: Vec<(Uuid, Option<i64>)> = Vec::with_capacity(rows.len());
        let mut places: Vec<Place> = Vec::new();
        for row in rows {
            let kind: i8 = row.try_get(0)?;
            match kind.cast_unsigned() {
                b'c' => {
                    let nth: i64 = row.try_get(2)?;
                    let read = row::read_leased(row, BEFORE_EVENT, leased)?;
                    let event = read.event;
                    lanes.push((event.id, row.try_get(1)?));
                    if nth < FIRST_LEFT {
                        places.push(Place::of(&event));
                    }
                    let found = found.of(nth);
                    found.bytes += event.metadata.as_ref().map_or(0, RawMetadata::len);
                    let lease = Lease {
                        event_id: event.id,
                        seq: event.seq,
                        token: leased.token,
                        expires_at: event.lease_expires_at.unwrap_or_default(),
                    };
                    match read.defect {
                        None => claims.push((nth, Claim { event, lease })),
                        Some(defect) => found.unreadable.push((lease, defect)),
                    }
                }
                kind @ (b'b' | b'w') => {
                    let place = Place {
                        seq: row.try_get(BEFORE_EVENT + 1)?,
                        priority: row.try_get(BEFORE_EVENT + 6)?,
                        due: row.try_get(BEFORE_EVENT + 8)?,
                    };
                    let found = &mut found.in_order;
                    match kind {
                        b'b' => found.behind.push((row.try_get(1)?, place.seq)),
                        _ => found.waiting.push(row.try_get(BEFORE_EVENT)?),
                    }
                    places.push(place);
                }
                b't' => {
                    let micros: i64 = row.try_get(1)?;
                    let filled: Option<i64> = row.try_get(2)?;
                    let found = &mut found.in_order;
                    found.scanned.cost = Duration::from_micros(micros.unsigned_abs());
                    found.scanned.is_by_destination = filled.is_some();
                    found.has_more = filled.is_some_and(|looks| looks > 0);
                }
                b'u' => {
                    let micros: i64 = row.try_get(1)?;
                    let scanned = &mut found.turns.scanned;
                    scanned.cost = Duration::from_micros(micros.unsigned_abs());
                    let candidates: Option<i64> = row.try_get(2)?;
                    scanned.candidates = candidates
                        .and_then(|count| usize::try_from(count).ok())
                        .unwrap_or_default();
                    found.turns.has_looked = true;
                }
                b'p' => {
                    found.is_outdated = true;
                    if row.try_get::<_, i64>(1)? != 0 {
                        self.shared.plain.is_too_little();
                    }
                }
                _ => found.in_order.has_notes = true,
            }
        }
        self.shared.held.took(lanes.into_iter());
        // `RETURNING` has no order.
        claims.sort_by_key(|(nth, _)| *nth);
        for (nth, claim) in claims {
            found.of(nth).claims.push(claim);
        }
        let in_order = &mut found.in_order;
        in_order.last = places.iter().copied().max_by_key(Place::in_order);
        in_order.scanned.candidates = places.len();
        let mut firsts = BTreeMap::new();
        for place in places {
            let first = firsts.entry(place.priority).or_insert(place.due);
            *first = place.due.min(*first);
        }
        in_order.scanned.firsts = firsts.into_iter().collect();
        Ok(found)
    }
}

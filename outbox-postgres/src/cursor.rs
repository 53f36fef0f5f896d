//! Where claims begin to look for candidates.
//!
//! A claim reads the index of candidates from its beginning. There lie the entries of events that
//! are gone: until the next vacuum, or for as long as some old snapshot is held, each claim steps
//! over all of them. So once that has become slow, claims begin where an earlier one found its
//! first candidate, in each priority. What lies before waits for the next full scan, which comes
//! after a pause of twenty times the last one's cost. Until then an empty claim proves nothing, and
//! [`next_due`](outbox_runtime::store::OutboxQueue::next_due) names the end of the pause.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::Clock;
use outbox_runtime::store::{ClaimRequest, SystemClock};

use crate::filter::Params;
use crate::place::Place;
use crate::slowness::{InARow, PAUSE, Usual};
use crate::visits::{KnownUsers, Looked, Range, Visits};

/// The cost of a scan, with its candidates.
const USUAL: Usual = Usual {
    alone: Duration::from_micros(250),
    per_find: Duration::from_micros(2),
};

/// The same for a scan with a look at each destination.
const USUAL_BY_DESTINATION: Usual = Usual {
    alone: Duration::from_millis(2),
    ..USUAL
};

/// How many full scans have to be slow one after another.
const SLOW_SCANS: InARow = InARow::of(3);

/// The most priorities of which places are remembered, and the most filters.
const MOST_PLACES: usize = 6;
const MOST_FILTERS: usize = 32;

/// Where a scan in claim order begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Begin {
    /// In each of these priorities, the highest first, the position that the scan begins after. In
    /// other priorities it begins with the first event.
    places: Vec<Place>,
    /// Whether the scan continues one that has read everything before the first of the places.
    continues: bool,
}

impl Begin {
    /// The rest of a scan whose last candidate was at that place.
    pub(crate) fn after(&self, last: Place) -> Self {
        let below = |place: &&Place| place.priority < last.priority;
        let below = self.places.iter().filter(below).copied();
        Self {
            places: std::iter::once(last).chain(below).collect(),
            continues: true,
        }
    }

    /// The parts of the scan, in claim order, as conditions on the row `e` with `AND` before each.
    /// Each part is one range of the index.
    pub(crate) fn parts(&self, params: &mut Params) -> Vec<String> {
        let mut parts = Vec::new();
        let mut above: Option<(i32, String)> = None;
        for (nth, place) in self.places.iter().enumerate() {
            let priority = params.bind(place.priority);
            match &above {
                Some((higher, _)) if higher.checked_sub(1) == Some(place.priority) => {}
                Some((_, above)) => parts.push(format!(
                    " AND e.priority < {above} AND e.priority > {priority}"
                )),
                None if nth == 0 && self.continues => {}
                None => parts.push(format!(" AND e.priority > {priority}")),
            }
            let (due, seq) = (params.bind(place.due), params.bind(place.seq));
            parts.push(format!(
                " AND e.priority = {priority} AND (e.due, e.seq) > ({due}, {seq})"
            ));
            above = Some((place.priority, priority));
        }
        parts.push(above.map_or_else(String::new, |(_, above)| {
            format!(" AND e.priority < {above}")
        }));
        parts
    }
}

/// The knowledge about scans with one filter.
#[derive(Debug, Default)]
struct Cursor {
    /// The highest priority first.
    places: Vec<Place>,
    /// When the last full scan ended, on the steady clock.
    full_at: Option<Duration>,
    /// The cost of that scan.
    cost: Duration,
    /// How many full scans in a row were slow, of the kind that was made last.
    slow: InARow,
    is_by_destination: bool,
    /// Whether the last claim, or what was asked after it, has looked at everything.
    has_seen_all: bool,
    /// Where turns look.
    users: KnownUsers,
}

impl Cursor {
    fn is_slow(&self) -> bool {
        self.slow >= SLOW_SCANS
    }

    /// The time until the next full scan.
    fn left(&self) -> Duration {
        let Some(full_at) = self.full_at.filter(|_| self.is_slow()) else {
            return Duration::ZERO;
        };
        let next = full_at.saturating_add(self.cost.saturating_mul(PAUSE));
        next.saturating_sub(SystemClock.uptime())
    }

    fn begin(&self) -> Begin {
        Begin {
            places: self.places.clone(),
            continues: false,
        }
    }
}

/// The cursors of a store, by filter.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<HashMap<u64, Cursor>>);

/// What a scan in claim order found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Its cost, measured by the server.
    pub(crate) cost: Duration,
    /// Whether it looked at one destination after the other.
    pub(crate) is_by_destination: bool,
    pub(crate) candidates: usize,
    /// The first due time of each priority that it found.
    pub(crate) firsts: Vec<(i32, DateTime<Utc>)>,
}

/// How to find the time at which a claim finds something.
#[derive(Debug, Default)]
pub(crate) struct DueScan {
    pub(crate) begin: Begin,
    /// The time until the full scan that has to come first; `None`: this scan is one.
    pub(crate) left: Option<Duration>,
}

impl Cursors {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a claim with this request begins.
    pub(crate) fn begin(&self, request: &ClaimRequest) -> Begin {
        let all = self.all();
        let cursor = all.get(&key(request));
        let cursor = cursor.filter(|cursor| !cursor.left().is_zero());
        cursor.map_or_else(Begin::default, Cursor::begin)
    }

    /// Notes the first scan of a claim. Returns whether it was a full one, and full scans have
    /// become slow.
    pub(crate) fn scanned(&self, request: &ClaimRequest, begin: &Begin, scanned: &Scanned) -> bool {
        let mut all = self.all();
        let cursor = of_request(&mut all, request);
        let is_full = begin.places.is_empty();
        cursor.has_seen_all = is_full;
        if is_full {
            if cursor.is_by_destination != scanned.is_by_destination {
                // That scans of one kind were slow says nothing about the other.
                cursor.is_by_destination = scanned.is_by_destination;
                cursor.slow = InARow::default();
            }
            let usual = match scanned.is_by_destination {
                true => USUAL_BY_DESTINATION,
                false => USUAL,
            };
            cursor
                .slow
                .note(scanned.cost > usual.with(scanned.candidates));
            cursor.cost = scanned.cost;
            cursor.full_at = Some(SystemClock.uptime());
        }
        let firsts = scanned.firsts.iter();
        let mut places: Vec<Place> = firsts
            .map(|(priority, due)| Place::before(*priority, *due))
            .collect();
        for before in &cursor.places {
            if places.iter().all(|place| place.priority != before.priority) {
                places.push(*before);
            }
        }
        places.truncate(MOST_PLACES);
        places.sort_unstable_by_key(|place| std::cmp::Reverse(place.priority));
        cursor.places = places;
        is_full && cursor.is_slow()
    }

    /// The users to visit by turns, if looks at all of them are slow.
    pub(crate) fn visits(
        &self,
        request: &ClaimRequest,
        range: Range<'_>,
        places: usize,
    ) -> Option<Visits> {
        let all = self.all();
        let users = &all.get(&key(request))?.users;
        users.visits(range, places)
    }

    /// Notes a look for turns.
    pub(crate) fn looked(
        &self,
        request: &ClaimRequest,
        (visits, range): (Option<&Visits>, Range<'_>),
        places: usize,
        looked: &Looked,
    ) {
        let mut all = self.all();
        let users = &mut of_request(&mut all, request).users;
        users.looked(visits, range, places, looked);
    }

    /// Makes the next claims look at everything: events have become candidates.
    pub(crate) fn look_again(&self) {
        for cursor in self.all().values_mut() {
            cursor.full_at = None;
            cursor.users.look_again();
        }
    }

    /// Moves cursors back to events that this store has made candidates.
    pub(crate) fn include(&self, events: &[(i32, DateTime<Utc>)]) {
        if events.is_empty() {
            return;
        }
        for cursor in self.all().values_mut() {
            for place in &mut cursor.places {
                let same = events.iter().filter(|(of, _)| *of == place.priority);
                if let Some(due) = same
                    .map(|(_, due)| *due)
                    .min()
                    .filter(|due| *due < place.due)
                {
                    *place = Place::before(place.priority, due);
                }
            }
        }
    }

    /// How to look for the next due time after a claim with this request.
    pub(crate) fn due_scan(&self, request: &ClaimRequest) -> DueScan {
        let all = self.all();
        let Some(cursor) = all.get(&key(request)) else {
            return DueScan::default();
        };
        let left = cursor.left();
        if cursor.has_seen_all || left.is_zero() {
            return DueScan::default();
        }
        DueScan {
            begin: cursor.begin(),
            left: Some(left),
        }
    }

    /// Notes that all candidates were looked at for the next due time. A find must not be
    /// left out by the next claim.
    pub(crate) fn due_scanned(&self, request: &ClaimRequest, cost: Duration, found: bool) {
        if let Some(cursor) = self.all().get_mut(&key(request)).filter(|it| it.is_slow()) {
            cursor.has_seen_all = true;
            cursor.cost = cursor.cost.saturating_add(cost).min(cost.saturating_mul(4));
            cursor.full_at = (!found).then(|| SystemClock.uptime());
        }
    }
}

/// The cursor of this request's filter, which may be a new one.
fn of_request<'c>(all: &'c mut HashMap<u64, Cursor>, request: &ClaimRequest) -> &'c mut Cursor {
    let key = key(request);
    if all.len() >= MOST_FILTERS && !all.contains_key(&key) {
        all.clear();
    }
    all.entry(key).or_default()
}

/// A number for the filter of a request, without its order and its amounts.
fn key(request: &ClaimRequest) -> u64 {
    struct Hashing(DefaultHasher);

    impl Write for Hashing {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }

    let mut hashing = Hashing(DefaultHasher::new());
    let filter = (
        request.user_id(),
        request.event_types(),
        request.excluded_users(),
        request.included(),
        request.excluded(),
    );
    // Writing into a hash does not fail.
    let _ = write!(hashing, "{filter:?}");
    hashing.0.finish()
}

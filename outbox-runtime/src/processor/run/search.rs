//! A search: the parts of a batch of which some event is to blame, sent one part at a time until
//! every event has its outcome.
//!
//! With one event to blame among `n`, it is found after at most `log2(n) + 2` calls, the first of
//! which is the whole batch: each half that gets through puts the blame on its other half, which
//! need not be sent as a whole. The halves that were left aside meanwhile follow, at most
//! `log2(n)` of them.
//!
//! Where a batch has several events of a lane, it is split between its lanes, and its only lane in
//! the middle. Then the second half is sent only after the first got through; otherwise it goes
//! back to the store.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lanes::Halves;
use crate::claim::Claim;
use crate::clock;
use crate::event::OutboxEvent;

/// The parts of one batch that are still to be sent.
pub(super) struct Search {
    pub(super) number: u64,
    /// The next part is the last one.
    parts: Vec<Group>,
    is_under_way: bool,
    /// Numbers the pairs of halves.
    pairs: u64,
}

/// The shortest patience of a group that may not be sent, longer than most calls take.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// Events to be sent together: a batch, or a part of one.
pub(super) struct Group {
    pub(super) claims: Vec<Arc<Claim>>,
    /// Its place in the search that it is part of.
    pub(super) place: Option<Place>,
    /// When it goes back to the store, while something else than the lack of a place keeps it from
    /// being sent: nothing folds into claimed events, and no other worker delivers them.
    pub(super) held_until: Option<DateTime<Utc>>,
}

impl Group {
    pub(super) fn new(claims: Vec<Arc<Claim>>, place: Option<Place>) -> Self {
        Self {
            claims,
            place,
            held_until: None,
        }
    }

    /// Takes the events that `which` picks.
    pub(super) fn extract(
        &mut self,
        which: impl Fn(&OutboxEvent) -> bool,
    ) -> impl Iterator<Item = Arc<Claim>> {
        self.claims.extract_if(.., move |claim| which(&claim.event))
    }

    /// Notes that it may not be sent now. Returns whether it has been so for longer than `wait`,
    /// the time for which its events may wait for others.
    pub(super) fn is_held_too_long(&mut self, wait: Duration, now: DateTime<Utc>) -> bool {
        let end = || clock::after(now, wait.max(SHORTEST_PATIENCE));
        *self.held_until.get_or_insert_with(end) <= now
    }
}

/// The place of a part in its search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) search: u64,
    /// The other half has the same number, as long as the blame is on one of the two.
    pair: Option<u64>,
    /// Whether the second half comes after the first in their lane.
    is_in_line: bool,
}

impl Place {
    /// The same without another half.
    fn alone(self) -> Self {
        Self { pair: None, ..self }
    }
}

impl Search {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            parts: Vec::new(),
            is_under_way: false,
            pairs: 0,
        }
    }

    /// Whether a part waits for a place only.
    pub(super) fn is_ready(&self) -> bool {
        let next = self.parts.last();
        !self.is_under_way && next.is_some_and(|part| part.held_until.is_none())
    }

    /// An event of the next part, unless one is being sent.
    pub(super) fn first(&self) -> Option<&Arc<Claim>> {
        let next = self.parts.last().filter(|_| !self.is_under_way);
        next?.claims.first()
    }

    pub(super) fn is_over(&self) -> bool {
        !self.is_under_way && self.parts.is_empty()
    }

    /// Takes the next part, unless one is being sent.
    pub(super) fn next(&mut self) -> Option<Group> {
        if self.is_under_way {
            return None;
        }
        let part = self.parts.pop()?;
        self.is_under_way = true;
        Some(part)
    }

    /// Returns a part that was taken and not sent.
    pub(super) fn put_back(&mut self, part: Group) {
        self.parts.push(part);
        self.is_under_way = false;
    }

    /// A part got through as a whole: the blame is on its other half.
    pub(super) fn passed(&mut self, place: Place) {
        self.is_under_way = false;
        if !self.is_next_half_of(place) {
            return;
        }
        if let Some(other) = self.parts.pop() {
            self.split(other.claims);
        }
    }

    /// A part has ended otherwise: nothing is known of its other half. Returns the events of that
    /// half if they wait for those of the part.
    #[must_use = "they go back to the store"]
    pub(super) fn ended(&mut self, place: Place) -> Vec<Arc<Claim>> {
        self.is_under_way = false;
        if !self.is_next_half_of(place) {
            return Vec::new();
        }
        if place.is_in_line {
            let waiting = self.parts.pop();
            return waiting.map_or_else(Vec::new, |other| other.claims);
        }
        if let Some(other) = self.parts.last_mut() {
            other.place = other.place.map(Place::alone);
        }
        Vec::new()
    }

    fn is_next_half_of(&self, place: Place) -> bool {
        let next = self.parts.last();
        place.pair.is_some() && next.is_some_and(|next| next.place == Some(place))
    }

    /// Some event among these is to blame: they are sent next, in halves.
    pub(super) fn split(&mut self, claims: Vec<Arc<Claim>>) {
        self.pairs += 1;
        let is_alone = claims.len() < 2;
        let Halves {
            first,
            second,
            is_in_line,
        } = Halves::of(claims);
        let place = Place {
            search: self.number,
            pair: Some(self.pairs).filter(|_| !is_alone),
            is_in_line,
        };
        for half in [second, first] {
            if !half.is_empty() {
                self.parts.push(Group::new(half, Some(place)));
            }
        }
    }

    /// Takes the parts that `which` picks.
    pub(super) fn take(&mut self, which: impl Fn(&[Arc<Claim>]) -> bool) -> Vec<Arc<Claim>> {
        let taken = self.parts.extract_if(.., |part| which(&part.claims));
        taken.flat_map(|part| part.claims).collect()
    }

    /// The parts that are still to be sent.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.parts.iter_mut()
    }

    /// When the next part goes back to the store.
    pub(super) fn held_until(&self) -> Option<DateTime<Utc>> {
        self.parts.iter().filter_map(|part| part.held_until).min()
    }

    /// Takes the events that `which` picks out of the parts that are still to be sent.
    pub(super) fn extract(&mut self, which: impl Fn(&OutboxEvent) -> bool) -> Vec<Arc<Claim>> {
        let mut taken = Vec::new();
        for part in &mut self.parts {
            taken.extend(part.extract(&which));
        }
        self.parts.retain(|part| !part.claims.is_empty());
        taken
    }
}

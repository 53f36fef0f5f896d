//! Where turns look for the events of each user.
//!
//! A look for turns seeks one user after the other in the index, and steps over the entries of a
//! user's events that are gone or wait behind others until it finds one to take. Until the next
//! vacuum, for as long as some old snapshot is held, or with many events in few lanes, that gets
//! slow. So once it has become slow, a store remembers the place of the last event that each user
//! had, and visits the users that it knows at these places. Other users, and earlier events, wait
//! for a look at all users, which comes after a pause of twenty times its cost, at most a second or
//! four times its cost. Claims in order find them meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

use crate::place::Place;
use crate::slowness::{InARow, PAUSE, Usual};

/// The cost of each look of a round, with the users that it finds.
const USUAL: Usual = Usual {
    alone: Duration::from_millis(1),
    per_find: Duration::from_micros(100),
};

/// How many rounds have to be slow one after another.
const SLOW_ROUNDS: InARow = InARow::of(2);

/// The longest pause after a round, unless the round is so slow that it would take more than a
/// fifth of the time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LEAST_PAUSE: u32 = 4;

/// The most users that are remembered. With more of them, each has few events that are gone.
const MOST_USERS: usize = 4_096;

/// Users to visit, in order, each with the place after which to look.
pub(crate) type Visits = Vec<(String, Place)>;

/// A range of users that a look asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range<'r> {
    /// The users after this one.
    pub(crate) after: &'r str,
    /// The last of them, or all.
    pub(crate) up_to: Option<&'r str>,
}

impl Range<'_> {
    /// Whether a look at all users goes on with those before the range.
    pub(crate) fn wraps(&self) -> bool {
        self.up_to.is_none() && !self.after.is_empty()
    }
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Its cost, measured by the server.
    pub(crate) cost: Duration,
    /// Each user that had an event, in order, and the place of that event.
    pub(crate) found: Visits,
}

/// A round of looks at all users.
#[derive(Debug)]
struct Round {
    /// The first look began after this user.
    from: String,
    /// The last look began after this user.
    last: String,
    /// Whether a look began with the first user again.
    has_wrapped: bool,
    cost: Duration,
    /// The cost from which on the round is slow.
    usual: Duration,
}

/// The knowledge about looks with one filter.
#[derive(Debug, Default)]
pub(crate) struct KnownUsers {
    places: BTreeMap<String, Place>,
    /// How many rounds in a row were slow.
    slow: InARow,
    round: Option<Round>,
    /// When the next round begins, on the steady clock, after a whole one.
    next_round: Option<Duration>,
}

impl KnownUsers {
    /// The users of a range to visit; `None`: look at all of them.
    pub(crate) fn visits(&self, range: Range<'_>, places: usize) -> Option<Visits> {
        let next = self.next_round.filter(|_| self.slow >= SLOW_ROUNDS)?;
        if SystemClock.uptime() >= next {
            return None;
        }
        let end = range.up_to.map_or(Bound::Unbounded, Bound::Included);
        if range.up_to.is_some_and(|up_to| up_to <= range.after) {
            return Some(Visits::new());
        }
        let within = (Bound::Excluded(range.after), end);
        let known = self.places.range::<str, _>(within);
        // Some may have nothing.
        let known = known.take(places.saturating_mul(2));
        let visits = known.map(|(user, at)| (user.clone(), *at)).collect();
        (!self.places.is_empty()).then_some(visits)
    }

    /// Notes a look for this many events: a visit of these users, or one at all users.
    pub(crate) fn looked(
        &mut self,
        visits: Option<&Visits>,
        range: Range<'_>,
        places: usize,
        looked: &Looked,
    ) {
        for (user, place) in &looked.found {
            if self.places.len() < MOST_USERS || self.places.contains_key(user) {
                self.places.insert(user.clone(), *place);
            }
        }
        match visits {
            Some(visits) => self.forget_idle(visits, places, looked),
            None => self.looked_at_all(range, places, looked),
        }
    }

    /// Makes the next look one at all users.
    pub(crate) fn look_again(&mut self) {
        self.next_round = None;
    }

    /// Forgets visited users that had nothing.
    fn forget_idle(&mut self, visits: &Visits, places: usize, looked: &Looked) {
        let found: BTreeSet<&str> = looked.found.iter().map(|(user, _)| user.as_str()).collect();
        let last = looked
            .found
            .last()
            .filter(|_| looked.found.len() >= places)
            .map(|(user, _)| user);
        for (user, _) in visits {
            let was_visited = last.is_none_or(|last| user <= last);
            if was_visited && !found.contains(user.as_str()) {
                self.places.remove(user);
            }
        }
    }

    fn looked_at_all(&mut self, range: Range<'_>, places: usize, looked: &Looked) {
        let round = self.round.get_or_insert_with(|| Round {
            from: range.after.to_owned(),
            last: range.after.to_owned(),
            has_wrapped: range.after.is_empty(),
            cost: Duration::ZERO,
            usual: Duration::ZERO,
        });
        let usual = USUAL.with(looked.found.len());
        round.usual = round.usual.saturating_add(usual);
        round.cost = round.cost.saturating_add(looked.cost);
        round.has_wrapped |= range.after < round.last.as_str();
        round.last = range.after.to_owned();
        // The look has seen all users up to this one.
        let end = match looked.found.last() {
            Some((user, _)) if looked.found.len() >= places => Some(user.as_str()),
            _ => range.up_to,
        };
        let is_whole = match round.from.is_empty() {
            true => end.is_none(),
            false => round.has_wrapped && end.is_none_or(|end| end >= round.from.as_str()),
        };
        if is_whole && let Some(round) = self.round.take() {
            self.end(&round);
        }
    }

    fn end(&mut self, round: &Round) {
        let is_slow = round.cost > round.usual && self.places.len() < MOST_USERS;
        if !is_slow {
            *self = Self::default();
            return;
        }
        self.slow.note(true);
        let longest = LONGEST_PAUSE.max(round.cost.saturating_mul(LEAST_PAUSE));
        let pause = round.cost.saturating_mul(PAUSE).min(longest);
        self.next_round = Some(SystemClock.uptime().saturating_add(pause));
    }
}

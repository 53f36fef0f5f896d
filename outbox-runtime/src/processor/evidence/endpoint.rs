//! An endpoint in doubt: attempts of one event type at one destination that were refused, of which it
//! is not known yet whether the events or the world are to blame.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Facts, Judged, Lane, Refused};
use crate::clock;

/// After so many refusals of attempts that began after the first one, the world is to blame.
const ENOUGH: u32 = 4;

/// An attempt that looks for evidence and has no answer for so long has another one beside it. Shorter
/// than the first pause of a circuit, and longer than most calls.
const PATIENCE: Duration = Duration::from_millis(750);

/// Two are enough to tell whether anybody else was refused.
const REFUSED: usize = 2;

/// What is known of an endpoint (or, for rate limits, of a destination) since its last refusal.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Attempts that got through since it is kept.
    pub(super) passes: u64,
    /// When the last one did.
    pub(super) last_pass: u64,
    /// Lanes that were refused since then; not all of them.
    refused: BTreeSet<Lane>,
}

impl Record {
    pub(super) fn passed(&mut self, number: u64) {
        self.passes += 1;
        self.last_pass = number;
        self.refused.clear();
    }

    pub(super) fn refused(&mut self, lane: Lane) {
        if self.refused.len() < REFUSED {
            self.refused.insert(lane);
        }
    }

    /// The interval rule: the lane was refused after `passes` passes; since then somebody else got
    /// through, and nobody else was refused since that.
    pub(super) fn tells_apart(&self, lane: &Lane, passes: Option<u64>) -> bool {
        passes.is_some_and(|passes| self.passes > passes)
            && self.refused.iter().all(|other| other == lane)
    }
}

/// The refusals that wait for a verdict. Their leases are kept, so that no other worker begins with
/// their events, and no attempt beside them is of the same lane.
#[derive(Debug)]
pub(super) struct Doubt {
    /// When the first of them ended.
    pub(super) first: u64,
    pub(super) refused: Vec<Waiting>,
    /// How many attempts that began after `first` were refused.
    later: u32,
    pub(super) users: BTreeSet<String>,
    /// Until then others go first: for as long as the last one took that was long in coming, so that
    /// attempts that hang take at most half of the time of a place that others could use.
    gives_way_until: DateTime<Utc>,
}

/// An attempt that may look for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Search {
    /// Not before.
    pub(super) from: DateTime<Utc>,
    /// Only at a place that nothing else has a use for.
    pub(super) gives_way: bool,
}

/// A refusal that waits for a verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) refused: Refused,
    /// When it ended.
    pub(super) number: u64,
    /// By the interval rule it is the event's own, which is no reason to bury it yet.
    pub(super) is_own: bool,
}

impl Waiting {
    /// Nobody waits for a verdict any more: the attempt does not count.
    pub(super) fn unjudged(self) -> Judged {
        Judged::given_back(self.refused, Duration::ZERO)
    }
}

impl Doubt {
    pub(super) fn new(number: u64, now: DateTime<Utc>) -> Self {
        Self {
            first: number,
            refused: Vec::new(),
            later: 0,
            users: BTreeSet::new(),
            gives_way_until: now,
        }
    }

    pub(super) fn add(&mut self, refused: Refused, is_own: bool, number: u64, now: DateTime<Utc>) {
        if refused.took >= PATIENCE {
            self.gives_way_until = clock::after(now, refused.took);
        }
        if refused.facts.number > self.first {
            self.later += 1;
        }
        self.users.insert(refused.facts.user().to_owned());
        self.refused.push(Waiting {
            refused,
            number,
            is_own,
        });
    }

    /// Somebody got through, and what is left waits for more evidence.
    pub(super) fn begin_anew(&mut self) {
        self.later = 0;
        let last = self.refused.iter().map(|waiting| waiting.number).max();
        self.first = last.unwrap_or(self.first);
    }

    /// When another attempt may begin to look for evidence, `flight` being what is under way at the
    /// endpoint: one after the other, unless they take long to be answered, as one that hangs would
    /// keep everybody waiting. Never more than are evidence enough.
    pub(super) fn search<'a>(
        &self,
        flight: impl Iterator<Item = &'a Facts>,
        now: DateTime<Utc>,
    ) -> Option<Search> {
        let begins = flight
            .filter(|facts| facts.number > self.first)
            .map(|facts| facts.began_at);
        let (count, last) = begins.fold((0, None), |(count, last), begin| {
            (count + 1, last.max(Some(begin)))
        });
        match last {
            None => Some(Search {
                from: now,
                gives_way: now < self.gives_way_until,
            }),
            Some(last) if self.later + count < ENOUGH => Some(Search {
                from: clock::after(last, PATIENCE),
                gives_way: true,
            }),
            Some(_) => None,
        }
    }

    /// The clock was set: others go first for as long as they would have.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        self.gives_way_until = clock::shifted(self.gives_way_until, jump);
    }

    /// Whether enough was refused to blame the world, `flight` being what is under way at the endpoint.
    pub(super) fn is_outage<'a>(&self, mut flight: impl Iterator<Item = &'a Facts>) -> bool {
        self.later >= ENOUGH && !flight.any(|facts| facts.number <= self.first)
    }
}

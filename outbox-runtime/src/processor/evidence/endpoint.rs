//! An endpoint in doubt: refused attempts of one event type at one destination, where the cause may
//! be the events or the world.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Facts, Judged, Lane, Refused};
use crate::clock;

/// The number of refused attempts, begun after the first refusal, that puts the blame on the world.
const OUTAGE_REFUSALS: u32 = 4;

/// An attempt that looks for evidence and has no answer after this time is joined by another one.
/// Shorter than the first pause of a circuit, and longer than most calls.
const PATIENCE: Duration = Duration::from_millis(750);

/// The maximum number of lanes in a record: two suffice to tell whether another lane was refused.
const MAX_LANES: usize = 2;

/// The passes and refusals of an endpoint (or, for rate limits, of a destination).
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The number of attempts that got through since the record began.
    pub(super) passes: u64,
    /// The number at which the last attempt got through.
    pub(super) last_pass: u64,
    /// Lanes that were refused since the last pass, at most [`MAX_LANES`] of them.
    refused: BTreeSet<Lane>,
}

impl Record {
    pub(super) fn passed(&mut self, number: u64) {
        self.passes += 1;
        self.last_pass = number;
        self.refused.clear();
    }

    pub(super) fn refused(&mut self, lane: Lane) {
        if self.refused.len() < MAX_LANES {
            self.refused.insert(lane);
        }
    }

    /// The interval rule: the lane was refused after `passes` passes, another lane has got through
    /// since then, and no other lane was refused after that pass.
    pub(super) fn tells_apart(&self, lane: &Lane, passes: Option<u64>) -> bool {
        passes.is_some_and(|passes| self.passes > passes)
            && self.refused.iter().all(|other| other == lane)
    }
}

/// The refusals that wait for a verdict. Their leases are kept, so that no other worker starts on
/// their events and no other attempt of the same lane begins.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The number at which the first of them ended.
    pub(super) first: u64,
    pub(super) refused: Vec<Waiting>,
    /// The number of refused attempts that began after `first`.
    later: u32,
    pub(super) users: BTreeSet<String>,
    /// Until then other work goes first, for as long as the last slow attempt took, so that
    /// attempts that hang take at most half of the time of a place that others could use.
    gives_way_until: DateTime<Utc>,
}

/// The permission for an attempt that looks for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Search {
    /// The earliest time at which it may begin.
    pub(super) from: DateTime<Utc>,
    /// Whether it may use only a place that would otherwise stay idle.
    pub(super) gives_way: bool,
}

/// A refusal that waits for a verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) refused: Refused,
    /// The number at which the attempt ended.
    pub(super) number: u64,
    /// Whether it is the event's own by the interval rule, which is no reason to bury it yet.
    pub(super) is_own: bool,
}

impl Waiting {
    /// Gives the attempt back without a verdict.
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

    /// Restarts the search after a pass: the remaining refusals wait for more evidence.
    pub(super) fn restart(&mut self) {
        self.later = 0;
        let last = self.refused.iter().map(|waiting| waiting.number).max();
        self.first = last.unwrap_or(self.first);
    }

    /// Returns when another attempt may begin to look for evidence; `flight` has the attempts under
    /// way at the endpoint. They run one at a time, unless the answers take long, as one that hangs
    /// would keep all others waiting, and never more of them than the verdict needs.
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
            Some(last) if self.later + count < OUTAGE_REFUSALS => Some(Search {
                from: clock::after(last, PATIENCE),
                gives_way: true,
            }),
            Some(_) => None,
        }
    }

    /// Adapts to a clock that was set: other work goes first for the same remaining time.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        self.gives_way_until = clock::shifted(self.gives_way_until, jump);
    }

    /// Whether enough attempts were refused to blame the world; `flight` has the attempts under way
    /// at the endpoint.
    pub(super) fn is_outage<'a>(&self, mut flight: impl Iterator<Item = &'a Facts>) -> bool {
        self.later >= OUTAGE_REFUSALS && !flight.any(|facts| facts.number <= self.first)
    }
}

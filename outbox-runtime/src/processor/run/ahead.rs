//! Claiming ahead: where handlers are quick, events wait here for them, claimed, so that a handler need not wait for a commit.
//!
//! Only as many wait as the handlers are likely to start within a few milliseconds, and only after they have shown for a
//! while that they are that quick. One that is slow ends it: what waits then goes back to the store, without an attempt
//! counted. So with handlers that call a service, as most do, no more is claimed than handlers are free.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Run;
use crate::claim::Claim;
use crate::clock;
use crate::processor::evidence::Restriction;
use crate::processor::routes::Route;

/// What takes longer is not quick; what waits should have begun by then.
const QUICK: Duration = Duration::from_millis(5);
/// After so many quick attempts in a row it is taken that the next ones are quick, too.
const PROBATION: u32 = 32;
/// Events that have waited for so long go back.
const PATIENCE: Duration = Duration::from_millis(100);

/// How quick the handlers were lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Attempts since the last one that was not quick.
    quick: u32,
    /// How long one takes: an average in which the latest counts for an eighth.
    typical: Duration,
}

impl Pace {
    pub(super) fn ended(&mut self, took: Duration) {
        if took > QUICK {
            *self = Self::default();
            return;
        }
        self.typical = match self.quick {
            0 => took,
            _ => (self.typical * 7 + took) / 8,
        };
        self.quick = self.quick.saturating_add(1);
    }

    /// How many events so many handlers are likely to start within [`QUICK`], at most `most`.
    pub(super) fn ahead(&self, handlers: usize, most: usize) -> usize {
        if self.quick < PROBATION {
            return 0;
        }
        let each = QUICK.as_nanos() / self.typical.as_nanos().max(1);
        let each = usize::try_from(each).unwrap_or(usize::MAX);
        handlers.saturating_mul(each).min(most)
    }
}

/// Claimed events that no handler has begun with, in claim order.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Ahead>);

/// One of them.
pub(super) struct Ahead {
    pub(super) claim: Claim,
    route: Route,
    /// When it has waited long enough.
    until: DateTime<Utc>,
}

impl Waiting {
    pub(super) fn push(&mut self, claim: Claim, route: Route, now: DateTime<Utc>) {
        let until = clock::after(now, PATIENCE);
        self.0.push_back(Ahead {
            claim,
            route,
            until,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The clock was set: they wait as long as they would have.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for waiting in &mut self.0 {
            waiting.until = clock::shifted(waiting.until, jump);
        }
    }

    /// When the first of them has waited long enough.
    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        self.0.front().map(|waiting| waiting.until)
    }
}

impl Run {
    /// Starts what waits while handlers are free. What may not be sent any more, or has waited too long, goes back.
    pub(super) fn start_waiting(&mut self) {
        if self.waiting.len() == 0 {
            return;
        }
        if self.next_renewal().is_some_and(|at| at <= self.now()) {
            // Leases that are to be renewed may be over by now, as after a freeze; then they are somebody else's.
            return;
        }
        if self.evidence.is_empty() {
            for _ in self.attempts()..self.shared.settings.max_concurrency {
                let Some(waiting) = self.waiting.0.pop_front() else {
                    return;
                };
                self.start(waiting.claim, waiting.route);
            }
        } else {
            self.start_those_with_room();
        }
        if self
            .waiting
            .until()
            .is_some_and(|until| until <= self.now())
        {
            self.pace = Pace::default();
            self.hand_back_waiting(|_| true);
        }
    }

    /// Something was refused lately: starts what there is room for. What is paused goes back, and the
    /// rest waits.
    fn start_those_with_room(&mut self) {
        let mut restrictions = self.restrictions();
        let mut free = self
            .shared
            .settings
            .max_concurrency
            .saturating_sub(self.attempts());
        let mut kept = VecDeque::new();
        for waiting in std::mem::take(&mut self.waiting.0) {
            let event = &waiting.claim.event;
            let mut all: Vec<&mut Restriction> = restrictions
                .iter_mut()
                .filter(|it| it.has(waiting.route.index, event))
                .collect();
            if all.iter().any(|it| it.room == 0 && it.sends_back()) {
                self.hand_back(&waiting.claim);
            } else if free == 0 || all.iter().any(|it| it.room == 0) {
                kept.push_back(waiting);
            } else {
                for restriction in &mut all {
                    restriction.room -= 1;
                }
                free -= 1;
                self.start(waiting.claim, waiting.route);
            }
        }
        self.waiting.0 = kept;
    }

    /// Settles what waits, and `which` picks, as not attempted.
    pub(super) fn hand_back_waiting(&mut self, which: impl Fn(&Ahead) -> bool) {
        let waiting = std::mem::take(&mut self.waiting.0);
        let (back, rest): (Vec<Ahead>, _) = waiting.into_iter().partition(which);
        self.waiting.0 = rest.into();
        for waiting in back {
            self.hand_back(&waiting.claim);
        }
    }

    /// Somebody else may have the event by now.
    pub(super) fn forget_waiting(&mut self, event_id: uuid::Uuid) {
        self.waiting
            .0
            .retain(|waiting| waiting.claim.event.id != event_id);
    }
}

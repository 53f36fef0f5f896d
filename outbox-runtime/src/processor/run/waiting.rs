//! Waiting: events that are claimed and whose handlers have not begun.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::claim::Claim;
use crate::clock;
use crate::processor::routes::Route;

/// Events that have waited for so long go back.
const PATIENCE: Duration = Duration::from_millis(100);

/// Claimed events that no handler has begun with, in claim order.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Ahead>);

/// One of them.
pub(super) struct Ahead {
    pub(super) claim: Claim,
    pub(super) route: Route,
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

    /// The first of them.
    pub(super) fn pop(&mut self) -> Option<Ahead> {
        self.0.pop_front()
    }

    /// Those that `which` picks, in order; the others wait on.
    pub(super) fn take(&mut self, which: impl Fn(&Ahead) -> bool) -> Vec<Ahead> {
        let (taken, kept): (Vec<Ahead>, _) =
            std::mem::take(&mut self.0).into_iter().partition(which);
        self.0 = kept.into();
        taken
    }

    /// Those that were taken before and wait on, in order.
    pub(super) fn put_back(&mut self, kept: Vec<Ahead>) {
        let since = std::mem::replace(&mut self.0, kept.into());
        self.0.extend(since);
    }

    /// Somebody else may have the event by now.
    pub(super) fn lose(&mut self, event_id: Uuid) {
        self.0.retain(|waiting| waiting.claim.event.id != event_id);
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

//! Claiming ahead: with quick handlers, claimed events wait here, so that a handler does not have
//! to wait for a commit.
//!
//! Only as many events wait as the handlers are likely to start within a few milliseconds, and only
//! after the handlers have been that quick for a while. A single slow handler ends it: the waiting
//! events go back to the store without a counted attempt. So with handlers that call a service, as
//! most do, the run claims no more events than handlers are free.

use chrono::{DateTime, Utc};

use super::Run;
use super::pace::{Pace, QUICK};
use super::waiting::WaitingEvent;
use crate::clock;
use crate::processor::evidence::Restriction;

impl Run {
    /// Starts waiting events while handlers are free. Events that are paused by now, or have waited
    /// too long, go back to the store.
    pub(super) fn start_waiting(&mut self) {
        if self.waiting.len() == 0 && self.batches.is_empty() {
            return;
        }
        let now = self.now();
        if self.leases.next_renewal().is_some_and(|at| at <= now) {
            // Leases that are due for renewal may have expired, as after a freeze, and another
            // worker may hold the events.
            return;
        }
        self.publish_places(false);
        if !self.batches.is_empty() {
            self.start_batches();
        }
        if self.evidence.is_empty() && self.limits.is_empty() {
            for _ in self.jobs.attempts()..self.shared.settings.max_concurrency {
                let Some(waiting) = self.waiting.pop() else {
                    return;
                };
                self.start(waiting.claim, waiting.route);
            }
        } else {
            self.start_those_with_room();
        }
        if self.waiting.until().is_some_and(|until| until <= now) {
            self.pace = Pace::default();
            self.hand_back_waiting(|_| true);
        }
    }

    /// Until when the run leaves the store alone, because its last claim took all that there was.
    /// More comes of the outcomes of the waiting events, which free the next ones of their lanes:
    /// these are recorded together with the next claim, once the last waiting event has started.
    pub(super) fn frees_more_until(&self) -> Option<DateTime<Utc>> {
        let is_plain = self.evidence.is_empty() && self.limits.is_empty();
        let waits = self.took_all && is_plain && self.batches.is_empty();
        let since = self.waiting.since().filter(|_| waits)?;
        Some(clock::after(since, QUICK)).filter(|until| self.now() < *until)
    }

    /// Starts the waiting events that the restrictions have room for, after recent refusals, and
    /// that the limits allow. Paused events go back to the store; the rest keep waiting.
    fn start_those_with_room(&mut self) {
        let mut restrictions = self.restrictions();
        let mut free = self
            .shared
            .settings
            .max_concurrency
            .saturating_sub(self.jobs.attempts());
        let now = self.now();
        let mut kept = Vec::new();
        for waiting in self.waiting.take(|_| true) {
            let event = &waiting.claim.event;
            let mut all: Vec<&mut Restriction> = restrictions
                .iter_mut()
                .filter(|it| it.has(waiting.route.index, event))
                .collect();
            if all.iter().any(|it| it.room == 0 && it.sends_back()) {
                self.hand_back(&waiting.claim);
                continue;
            }
            let may_start = || {
                // One that is not attempted anyway needs no call.
                let is_attempted =
                    self.leases.is_in_force(&waiting.claim.lease, now) && !event.is_expired(now);
                !is_attempted || self.may_begin(event)
            };
            let has_room = free > 0 && all.iter().all(|it| it.room > 0);
            if has_room && may_start() {
                for restriction in &mut all {
                    restriction.room -= 1;
                }
                free -= 1;
                self.start(waiting.claim, waiting.route);
            } else {
                kept.push(waiting);
            }
        }
        self.waiting.put_back(kept);
    }

    /// Settles the waiting events that `which` picks as not attempted.
    pub(super) fn hand_back_waiting(&mut self, which: impl Fn(&WaitingEvent) -> bool) {
        for waiting in self.waiting.take(which) {
            self.hand_back(&waiting.claim);
        }
    }
}

//! Claiming ahead: where handlers are quick, events wait here for them, claimed, so that a handler
//! need not wait for a commit.
//!
//! Only as many wait as the handlers are likely to start within a few milliseconds, and only after
//! they have shown for a while that they are that quick. One that is slow ends it: what waits then
//! goes back to the store, without an attempt counted. So with handlers that call a service, as
//! most do, no more is claimed than handlers are free.

use super::Run;
use super::pace::Pace;
use super::waiting::Ahead;
use crate::processor::evidence::Restriction;

impl Run {
    /// Starts what waits while handlers are free. What may not be sent any more, or has waited too
    /// long, goes back.
    pub(super) fn start_waiting(&mut self) {
        if self.waiting.len() == 0 {
            return;
        }
        if self
            .leases
            .next_renewal()
            .is_some_and(|at| at <= self.now())
        {
            // Leases that are to be renewed may be over by now, as after a freeze; then they are
            // somebody else's.
            return;
        }
        if self.evidence.is_empty() {
            for _ in self.jobs.attempts()..self.shared.settings.max_concurrency {
                let Some(waiting) = self.waiting.pop() else {
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

    /// Something was refused lately: starts what there is room for. What is paused goes back, and
    /// the rest waits.
    fn start_those_with_room(&mut self) {
        let mut restrictions = self.restrictions();
        let mut free = self
            .shared
            .settings
            .max_concurrency
            .saturating_sub(self.jobs.attempts());
        let mut kept = Vec::new();
        for waiting in self.waiting.take(|_| true) {
            let event = &waiting.claim.event;
            let mut all: Vec<&mut Restriction> = restrictions
                .iter_mut()
                .filter(|it| it.has(waiting.route.index, event))
                .collect();
            if all.iter().any(|it| it.room == 0 && it.sends_back()) {
                self.hand_back(&waiting.claim);
            } else if free == 0 || all.iter().any(|it| it.room == 0) {
                kept.push(waiting);
            } else {
                for restriction in &mut all {
                    restriction.room -= 1;
                }
                free -= 1;
                self.start(waiting.claim, waiting.route);
            }
        }
        self.waiting.put_back(kept);
    }

    /// Settles what waits, and `which` picks, as not attempted.
    pub(super) fn hand_back_waiting(&mut self, which: impl Fn(&Ahead) -> bool) {
        for waiting in self.waiting.take(which) {
            self.hand_back(&waiting.claim);
        }
    }
}

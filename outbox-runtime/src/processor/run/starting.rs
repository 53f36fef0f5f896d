//! Starting: the handlers of events that were claimed, and refreshes of credentials.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::Run;
use super::jobs::{Attempt, Done, Job};
use crate::claim::Claim;
use crate::outcome::Outcome;
use crate::processor::attempt;
use crate::processor::evidence::Facts;
use crate::processor::routes::Route;
use crate::retry::RetryPolicy;

impl Run {
    /// Takes on an event that was claimed for so long: its handler starts as soon as it may.
    pub(super) fn take_on(&mut self, claim: Claim, lease: Duration) {
        self.leases.hold_granted(claim.lease, lease, self.now());
        let settings = &self.shared.settings;
        match self.shared.routes.route(&claim.event.event_type, settings) {
            Some(route) => self.waiting.push(claim, route, self.now()),
            None => {
                self.unhandled.meet(&claim.event.event_type);
                self.hand_back(&claim);
            }
        }
    }

    /// Starts the handler of a claimed event, unless its lease has ended meanwhile.
    pub(super) fn start(&mut self, claim: Claim, route: Route) {
        let event_id = claim.event.id;
        if !self.leases.is_in_force(&event_id, self.now()) {
            // Somebody else may have the event, or be past it: begun now it could come out of
            // order.
            warn!(%event_id, "the lease ended before the handler could start; the event is left to the next claim");
            self.leases.release(&event_id);
            return;
        }
        let claim = Arc::new(claim);
        let event = &claim.event;
        let span = info_span!(
            "outbox_attempt",
            event_id = %event.id,
            event_type = ?event.event_type,
            attempt = event.attempt_count,
        );
        let attempt = attempt::run(
            route.handler,
            Arc::clone(&claim),
            route.timeout,
            Arc::clone(&self.shared.clock),
        );
        let attempt = async move {
            let (ended, took) = attempt.await;
            Done::Attempt(ended, took)
        };
        let facts = Facts {
            claim: Arc::clone(&claim),
            set: route.index,
            number: self.evidence.begin(),
            began_at: self.now(),
        };
        self.evidence.begun(&facts);
        let job = Job::Attempt(Box::new(Attempt {
            credentials: self.evidence.credentials.generation(&claim.event.user_id),
            facts,
            retry: route.retry,
            // Where one attempt is all there is, it is not made twice for want of evidence.
            is_always_charged: route.is_always_charged || claim.event.max_attempts == 1,
            max_snoozes: route.max_snoozes,
            lease_lost: false,
        }));
        self.jobs.spawn(job, attempt.instrument(span));
    }

    /// Settles a claimed event as not attempted.
    pub(super) fn hand_back(&mut self, claim: &Claim) {
        let outcome = Outcome::GivenBack {
            delay: Duration::ZERO,
            refusal: None,
        };
        self.settle(claim, outcome, &RetryPolicy::default());
    }

    /// Starts refreshing the credentials of the user who has needed it for longest, unless that is
    /// being done for somebody.
    pub(super) fn start_refresh(&mut self) {
        if self.evidence.is_empty() || self.jobs.is_refreshing() {
            return;
        }
        let Some(user_id) = self.evidence.credentials.take_refresh(self.now()) else {
            return;
        };
        info!("credentials were refused; the user's work is paused until they are refreshed");
        let shared = Arc::clone(&self.shared);
        let user = user_id.clone();
        let refresh = async move {
            let Some(refresh) = &shared.settings.refresh else {
                // Without a hook somebody else refreshes them; trying again tells.
                return Done::Refresh(Ok(()));
            };
            let _one_at_a_time = shared.refresh.lock().await;
            Done::Refresh(tokio::select! {
                biased;
                result = refresh(user) => result.map_err(|error| error.to_string()),
                () = shared.clock.sleep(shared.settings.timeout) => Err("no answer in time".to_owned()),
            })
        };
        self.jobs.spawn(Job::Refresh { user_id }, refresh);
    }
}

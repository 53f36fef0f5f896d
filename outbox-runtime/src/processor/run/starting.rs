//! Starting: handlers of claimed events, and refreshes of credentials.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::Run;
use super::batching::Source;
use super::jobs::{Attempt, Done, Job};
use crate::claim::Claim;
use crate::outcome::Outcome;
use crate::processor::attempt;
use crate::processor::evidence::Facts;
use crate::processor::routes::Route;
use crate::retry::RetryPolicy;

impl Run {
    /// Accepts a claimed event, with the duration of its lease: its handler starts as soon as
    /// possible.
    pub(super) fn take_on(
        &mut self,
        claim: Claim,
        lease: Duration,
        source: Source,
        now: DateTime<Utc>,
    ) {
        let event_id = claim.event.id;
        if !self.batches.is_empty() && self.leases.holds(&event_id) {
            // Another worker took the event back meanwhile, as after a clock jump: the claim that
            // waits in a batch is void.
            let behind = self.batches.lose(event_id);
            self.hand_back_all(&behind);
        }
        self.leases.hold_granted(claim.lease, lease, now);
        if let Some(how) = self.shared.routes.retirement(&claim.event.event_type) {
            return self.settle_retired(&claim, how);
        }
        let settings = &self.shared.settings;
        match self.shared.routes.route(&claim.event.event_type, settings) {
            Some(Route {
                batching: Some(batching),
                ..
            }) => self.gather(claim, batching, source),
            Some(route) => self.waiting.push(claim, route, now),
            None => {
                self.unhandled.found(&claim.event.event_type);
                self.hand_back(&claim);
            }
        }
    }

    /// Starts the handler of a claimed event, unless its lease has ended meanwhile, or the event
    /// has expired.
    pub(super) fn start(&mut self, mut claim: Claim, route: Route) {
        let (event_id, now) = (claim.event.id, self.now());
        if !self.leases.is_in_force(&claim.lease, now) {
            // Another worker may hold the event or have finished it, so starting it now could
            // deliver it out of order.
            warn!(
                %event_id,
                "the lease expired before the handler could start; the next claim takes the event"
            );
            self.leases.release_this(&claim.lease);
            return;
        }
        if claim.event.is_expired(now) {
            let on_expiry = route.on_expiry;
            self.settle(&claim, Outcome::Expired { on_expiry }, &route.retry);
            return;
        }
        self.promised.allow(&mut claim);
        let claim = Arc::new(claim);
        let attempt = attempt::run(
            route.handler,
            Arc::clone(&claim),
            route.timeout,
            Arc::clone(&self.shared.clock),
        );
        // Boxed, as each future around it would hold it twice, and a task is moved several times.
        let attempt = self.spans.around(&claim, Box::pin(attempt));
        let attempt = async move {
            let (ended, took) = attempt.await;
            Done::Attempt(ended, took)
        };
        let facts = Facts {
            claim: Arc::clone(&claim),
            with: None,
            set: route.index,
            number: self.evidence.begin(),
            began_at: now,
        };
        self.evidence.begun(&facts);
        let job = Job::Attempt(Box::new(Attempt {
            credentials: self.evidence.credentials.generation(&claim.event.user_id),
            facts,
            retry: route.retry,
            // An event with a single attempt is not attempted again for lack of evidence.
            is_always_charged: route.is_always_charged || claim.event.max_attempts == 1,
            max_snoozes: route.max_snoozes,
            lease_lost: false,
            lost: Vec::new(),
            place: None,
            keeps_order: false,
        }));
        self.jobs.spawn(job, attempt);
    }

    /// Settles a claimed event as not attempted.
    pub(super) fn hand_back(&mut self, claim: &Claim) {
        let outcome = Outcome::GivenBack {
            delay: Duration::ZERO,
            refusal: None,
        };
        self.settle(claim, outcome, &RetryPolicy::default());
    }

    /// Starts a refresh of credentials for the user who has waited longest, unless one is running.
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
                // Without a hook the application refreshes the credentials itself; the next attempt
                // tells.
                return Done::Refresh(Ok(()));
            };
            let _one_at_a_time = shared.refresh.lock().await;
            let timeout = shared.settings.timeout;
            Done::Refresh(tokio::select! {
                biased;
                result = refresh(user) => result.map_err(|error| error.to_string()),
                () = shared.clock.sleep(timeout) => Err(format!("no answer within {timeout:?}")),
            })
        };
        self.jobs.spawn(Job::Refresh { user_id }, refresh);
    }
}

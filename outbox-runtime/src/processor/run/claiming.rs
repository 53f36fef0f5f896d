//! Claiming: how much, of what, and starting the handlers of what was claimed.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::{Attempt, Done, Job, Run};
use crate::claim::{Claim, ClaimRequest};
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::processor::attempt;
use crate::processor::pauses::Permission;
use crate::processor::rate_limits::Share;
use crate::processor::routes::{HandlerIndex, Route};
use crate::retry::RetryPolicy;

impl Run {
    /// Records what has ended and claims what may be claimed, in one request to the store. `true`: there is more to do.
    pub(super) async fn record_and_claim(&mut self) -> Result<bool, StoreError> {
        self.ended_meanwhile = false;
        let asked = self.slots();
        if asked == 0 {
            self.due_at = None;
            self.record().await?;
            return Ok(self.ended_meanwhile);
        }
        let request = self.request(asked);
        let repository = Arc::clone(&self.shared.repository);
        let recording = std::mem::take(&mut self.unrecorded);
        let settlements = recording.clone();
        let exchange = self
            .meanwhile(async { repository.settle_and_claim(settlements, &request).await })
            .await;
        let recorded = self.recorded(recording, exchange.settled);
        let claims = match exchange.claimed {
            Ok(claims) => claims,
            Err(error) => return recorded.and(Err(error)),
        };
        self.turns.claimed(&request, &claims);
        let claimed = claims.len();
        self.activity += u64::from(claimed > 0);
        // Whatever became of the outcomes: what is claimed here comes to nobody else.
        for claim in claims {
            let lease = request.lease_for(&claim.event.event_type);
            self.take_on(claim, lease);
        }
        self.start_waiting();
        recorded?;
        // An event that no handler takes is to be recorded as given back; what has ended meanwhile, as well, or it has ended a pause.
        if claimed == asked || !self.unrecorded.is_empty() || self.ended_meanwhile {
            return Ok(true);
        }
        let due_at = self
            .meanwhile(async { repository.next_due(&request).await })
            .await?;
        self.due_at = self.when_it_may_be_taken(due_at);
        Ok(self.ended_meanwhile)
    }

    /// Waits for the store, and keeps the handlers going until it answers: what ends meanwhile is recorded together.
    pub(super) async fn meanwhile<T>(&mut self, request: impl Future<Output = T>) -> T {
        tokio::pin!(request);
        loop {
            tokio::select! {
                biased;
                answer = &mut request => return answer,
                Some(done) = self.tasks.join_next_with_id() => {
                    self.ended_meanwhile = true;
                    self.take_in(done);
                    self.start_refresh();
                    self.start_waiting();
                }
            }
        }
    }

    /// How many events may be claimed now.
    fn slots(&self) -> usize {
        let settings = &self.shared.settings;
        let taken = self.attempts() + self.waiting.len();
        let free = settings.max_concurrency.saturating_sub(taken);
        match self.pauses.permission(self.now()) {
            _ if self.is_own_user_paused() => 0,
            Permission::Nothing => 0,
            Permission::Probe => free.min(1),
            Permission::All => {
                let ahead = self
                    .pace
                    .ahead(settings.max_concurrency, settings.batch_size);
                // Not bit by bit: a claim is a commit.
                let more = if self.waiting.len() <= ahead {
                    ahead
                } else {
                    0
                };
                // Whichever events are next, they may all be of the set that may have the fewest.
                let fewest = self.rooms().into_iter().map(|(_, room)| room);
                let fewest = fewest.filter(|room| *room > 0).min();
                free.saturating_add(more)
                    .min(settings.batch_size)
                    .min(fewest.unwrap_or(usize::MAX))
            }
        }
    }

    /// How many more events of a handler set may be under way, for those that a rate limit keeps from having as many as others.
    fn rooms(&self) -> Vec<(HandlerIndex, usize)> {
        let shares = self.pauses.rate_limits.shares(self.now());
        shares
            .map(|share| {
                let taken = self.share_taken(share) + self.waiting.of(share.handler);
                (share.handler, share.most.saturating_sub(taken))
            })
            .collect()
    }

    /// Attempts of a handler set that heed its last pause. Others, as they began before, may take as long as they want.
    pub(super) fn share_taken(&self, share: Share) -> usize {
        let is_of_share = |job: &&Job| matches!(job, Job::Attempt(attempt) if attempt.handler == share.handler && attempt.rate_limits >= share.number);
        self.jobs.values().filter(is_of_share).count()
    }

    pub(super) fn attempts(&self) -> usize {
        let is_attempt = |job: &&Job| matches!(job, Job::Attempt(_));
        self.jobs.values().filter(is_attempt).count()
    }

    fn is_own_user_paused(&self) -> bool {
        let user = self.user_id.as_deref();
        user.is_some_and(|user| self.pauses.is_user_paused(user))
    }

    pub(super) fn may_claim(&self) -> bool {
        !self.is_backing_off() && self.slots() > 0
    }

    fn request(&self, limit: usize) -> ClaimRequest {
        let now = self.now();
        let rooms = self.rooms();
        let paused = |handler| {
            self.pauses.rate_limits.pause(handler, now).is_some() || rooms.contains(&(handler, 0))
        };
        let routes = &self.shared.routes;
        let request = ClaimRequest::new(limit, self.shared.settings.lease)
            .with_event_types(routes.claimable(&paused, &self.unhandled));
        let request = routes
            .own_leases()
            .fold(request, |request, (event_type, lease)| {
                request.with_lease_for(event_type, lease)
            });
        match &self.user_id {
            Some(user) => request.with_user(user),
            None => {
                let request = request.without_users(self.pauses.paused_users());
                self.turns.in_turn(request)
            }
        }
    }

    /// Takes on an event that was claimed for so long: its handler starts as soon as it may.
    fn take_on(&mut self, claim: Claim, lease: Duration) {
        self.hold(claim.lease, lease);
        if claim.lease.expires_at <= self.now() {
            // The store's answer took so long that somebody else may have the event. Renewing tells.
            self.leases.renew_by(lease, self.now());
        }
        let settings = &self.shared.settings;
        match self.shared.routes.route(&claim.event.event_type, settings) {
            Some(route) => self.waiting.push(claim, route, self.now()),
            None => {
                self.leave_alone(&claim.event.event_type);
                self.hand_back(&claim);
            }
        }
    }

    /// Nobody takes events of this type.
    pub(super) fn leave_alone(&mut self, event_type: &str) {
        if !self.unhandled.iter().any(|known| known == event_type) {
            warn!(
                ?event_type,
                "no handler takes this event type; its events wait"
            );
            self.unhandled.push(event_type.to_owned());
        }
    }

    /// Starts the handler of a claimed event, unless its lease has ended meanwhile.
    pub(super) fn start(&mut self, claim: Claim, route: Route) {
        let event_id = claim.event.id;
        let held = self.leases.get(&event_id);
        if held.is_none_or(|held| held.lease.expires_at <= self.now()) {
            // Somebody else may have the event, or be past it: begun now it could come out of order.
            warn!(%event_id, "the lease ended before the handler could start; the event is left to the next claim");
            self.leases.remove(&event_id);
            return;
        }
        if self.pauses.permission(self.now()) == Permission::Probe {
            self.pauses.probe_started();
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
        let abort = self.tasks.spawn(attempt.instrument(span));
        let job = Job::Attempt(Box::new(Attempt {
            retry: route.retry,
            handler: route.index,
            credentials: self.pauses.generation(&claim.event.user_id),
            rate_limits: self.pauses.rate_limits.number(),
            claim,
            abort: abort.clone(),
            lease_lost: false,
        }));
        self.jobs.insert(abort.id(), job);
    }

    /// Settles a claimed event as not attempted.
    pub(super) fn hand_back(&mut self, claim: &Claim) {
        let outcome = Outcome::GivenBack {
            delay: Duration::ZERO,
        };
        self.settle(claim, outcome, &RetryPolicy::default());
    }

    /// Starts refreshing the credentials of the user who has needed it for longest, unless that is being done for somebody.
    pub(super) fn start_refresh(&mut self) {
        let is_refresh = |job: &Job| matches!(job, Job::Refresh { .. });
        if self.pauses.are_none() || self.jobs.values().any(is_refresh) {
            return;
        }
        let Some(user_id) = self.pauses.take_refresh(self.now()) else {
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
        let abort = self.tasks.spawn(refresh);
        self.jobs.insert(abort.id(), Job::Refresh { user_id });
    }
}

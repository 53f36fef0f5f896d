//! Claiming: how much, of what, and starting the handlers of what was claimed.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::{Attempt, Done, Job, Run};
use crate::claim::{Claim, ClaimRequest};
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::processor::attempt;
use crate::processor::evidence::{Evidence, Facts, Node, Restriction, Want};
use crate::processor::routes::Route;
use crate::retry::RetryPolicy;

/// At most so many claims are made before the run looks around again.
const CLAIMS: usize = 64;

/// Of so many of those that brought nothing it is asked whether anything is left at all.
const LOOKS: usize = 8;

impl Run {
    /// Records what has ended and claims what may be claimed, together in as few requests to the store
    /// as can be. `true`: there is more to do.
    pub(super) async fn record_and_claim(&mut self) -> Result<bool, StoreError> {
        self.ended_meanwhile = false;
        self.look_for_unhandled().await;
        let mut empty: Vec<Want> = Vec::new();
        let (mut looks, mut has_forgotten) = (LOOKS, false);
        for _ in 0..CLAIMS {
            let Some(want) = self.next_want(&empty) else {
                break;
            };
            let claimed = self.record_and_claim_of(&want).await?;
            if claimed == 0 {
                if want.is_for_evidence {
                    self.nothing_else(&want);
                }
                if looks > 0 && want.is_of_all {
                    looks -= 1;
                    has_forgotten |= self.forget_what_has_nothing_left(&want).await?;
                }
            }
            // An event that no handler takes is to be recorded as given back; what has ended meanwhile, as
            // well, or it has ended a pause.
            if claimed >= want.limit || !self.unrecorded.is_empty() || self.ended_meanwhile {
                return Ok(true);
            }
            empty.push(want);
        }
        if has_forgotten {
            return Ok(true);
        }
        if empty.is_empty() {
            self.due_at = None;
            self.record().await?;
            return Ok(self.ended_meanwhile);
        }
        let restrictions = self.restrictions();
        // Where there are more claims than a round makes, the next round goes on with what is due.
        let mut asked = self.wants_within(&restrictions);
        asked.append(&mut empty);
        // What could not be claimed now is not when it is due either, but when something else happens.
        let was_asked = |node: &Node| asked.iter().any(|want| want.node.as_ref() == Some(node));
        let without = restrictions
            .iter()
            .filter(|it| !it.is_asked_for(&restrictions, was_asked));
        let without: Vec<Node> = without.map(|it| it.node.clone()).collect();
        let own = self.user_id.clone().map(Node::Credentials);
        if own.is_some_and(|own| without.contains(&own)) {
            self.due_at = None;
            return Ok(self.ended_meanwhile);
        }
        let request = self.request(1, &without);
        let repository = Arc::clone(&self.shared.repository);
        let due_at = self
            .meanwhile(async { repository.next_due(&request).await })
            .await?;
        self.due_at = self.when_it_may_be_taken(due_at);
        Ok(self.ended_meanwhile)
    }

    /// Records what has ended and makes one claim. Returns how many events it brought.
    async fn record_and_claim_of(&mut self, want: &Want) -> Result<usize, StoreError> {
        let request = self.request_of(want);
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
        if want.node.is_none() {
            self.turns.claimed(&request, &claims);
        }
        let claimed = claims.len();
        self.activity += u64::from(claimed > 0);
        // Whatever became of the outcomes: what is claimed here comes to nobody else.
        for claim in claims {
            let lease = request.lease_for(&claim.event.event_type);
            self.take_on(claim, lease);
        }
        self.start_waiting();
        recorded?;
        Ok(claimed)
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

    /// The claim to be made next, but for those that brought less than they asked for.
    ///
    /// They take turns, so that with few places none keeps the others waiting. One that gives way
    /// comes after all others.
    fn next_want(&mut self, empty: &[Want]) -> Option<Want> {
        let wants = self.wants();
        if wants.is_empty() {
            // Nobody's turn: where all places are taken after each claim, it would else be that of
            // the same one whenever there is a place again.
            return None;
        }
        let is_new = |want: &&Want| {
            let mut asked = empty.iter().filter(|asked| asked.node == want.node);
            let is_its_turn = !want.is_last_resort || asked.clone().next().is_some();
            is_its_turn && !asked.any(|asked| asked.is_of_the_same(want))
        };
        self.turn = self.turn.wrapping_add(1);
        let (before, after) = wants.split_at(self.turn % wants.len());
        let in_turn = || after.iter().chain(before).filter(is_new);
        let first = in_turn().find(|want| !want.gives_way);
        first.or_else(|| in_turn().next()).cloned()
    }

    fn wants(&self) -> Vec<Want> {
        self.wants_within(&self.restrictions())
    }

    fn wants_within(&self, restrictions: &[Restriction]) -> Vec<Want> {
        let settings = &self.shared.settings;
        let taken = self.attempts() + self.waiting.len();
        let free = settings.max_concurrency.saturating_sub(taken);
        let ahead = self
            .pace
            .ahead(settings.max_concurrency, settings.batch_size);
        // Not bit by bit: a claim is a commit.
        let more = if self.waiting.len() <= ahead {
            ahead
        } else {
            0
        };
        let mut wants = Evidence::wants(restrictions, free, more);
        if let Some(user) = &self.user_id {
            // There is nobody else, so nothing is left beside what is restricted.
            let own = Node::Credentials(user.clone());
            if let Some(restriction) = restrictions.iter().find(|it| it.node == own) {
                let room = restriction.room;
                wants.retain(|want| room > 0 && want.node.is_some() && !want.except.contains(&own));
            }
        }
        for want in &mut wants {
            want.limit = want.limit.min(settings.batch_size);
        }
        wants
    }

    /// What may have less under way than there are places, and how much.
    pub(super) fn restrictions(&self) -> Vec<Restriction> {
        if self.evidence.is_empty() {
            return Vec::new();
        }
        self.evidence.restrictions(&self.flight(), self.now())
    }

    /// The attempts under way.
    pub(super) fn flight(&self) -> Vec<&Facts> {
        let jobs = self.jobs.values();
        jobs.filter_map(|job| match job {
            Job::Attempt(attempt) => Some(&attempt.facts),
            Job::Refresh { .. } => None,
        })
        .collect()
    }

    /// An endpoint in doubt, or a user with a second chance, has nothing else to try.
    fn nothing_else(&mut self, want: &Want) {
        let endpoint = match &want.node {
            Some(Node::Credentials(user)) => return self.evidence.credentials.nothing_else(user),
            Some(endpoint) => endpoint,
            None => return,
        };
        let now = self.now();
        let mut evidence = std::mem::take(&mut self.evidence);
        let judged = evidence.nothing_else(endpoint, &self.flight(), now);
        self.evidence = evidence;
        self.settle_judged(judged);
    }

    /// A claim has brought nothing: should nothing be left of what it was for, not even for later,
    /// what is known of that is forgotten. Otherwise users and destinations that never come back
    /// would be remembered until the run ends. Returns whether anything was.
    async fn forget_what_has_nothing_left(&mut self, want: &Want) -> Result<bool, StoreError> {
        let Some(node) = &want.node else {
            return Ok(false);
        };
        if self.holds_some_of(node) {
            return Ok(false);
        }
        let request = self.request(1, &[]).only(self.shared.routes.selector(node));
        let repository = Arc::clone(&self.shared.repository);
        let due_at = self
            .meanwhile(async { repository.next_due(&request).await })
            .await?;
        if due_at.is_some() || self.holds_some_of(node) {
            return Ok(false);
        }
        let now = self.now();
        Ok(self.evidence.forget(node, now))
    }

    /// Whether some of it may be here, so that the store does not tell of it.
    fn holds_some_of(&self, node: &Node) -> bool {
        let is_under_way = || self.flight().iter().any(|facts| node.has_attempt(facts));
        let has_any = !self.unrecorded.is_empty() || self.waiting.len() > 0;
        has_any || self.evidence.is_in_doubt(node) || is_under_way()
    }

    pub(super) fn attempts(&self) -> usize {
        let is_attempt = |job: &&Job| matches!(job, Job::Attempt(_));
        self.jobs.values().filter(is_attempt).count()
    }

    pub(super) fn may_claim(&self) -> bool {
        !self.is_backing_off() && !self.wants().is_empty()
    }

    fn request_of(&self, want: &Want) -> ClaimRequest {
        let request = self
            .request(want.limit, &want.except)
            .in_order(want.order)
            .avoiding_users(want.avoid.clone());
        match &want.node {
            Some(node) => request.only(self.shared.routes.selector(node)),
            None if self.user_id.is_none() => self.turns.in_turn(request),
            None => request,
        }
    }

    /// Of everything that this run has handlers for, but for what is part of these nodes.
    fn request(&self, limit: usize, except: &[Node]) -> ClaimRequest {
        let routes = &self.shared.routes;
        let request = ClaimRequest::new(limit, self.shared.settings.lease)
            .with_event_types(routes.claimable(self.unhandled.types()));
        let request = routes
            .own_leases()
            .fold(request, |request, (event_type, lease)| {
                request.with_lease_for(event_type, lease)
            });
        let request = match &self.user_id {
            Some(user) => request.with_user(user),
            None => {
                let users = except.iter().filter_map(|node| match node {
                    Node::Credentials(user) => Some(user.clone()),
                    _ => None,
                });
                request.without_users(users.collect())
            }
        };
        routes
            .selectors(except)
            .into_iter()
            .fold(request, ClaimRequest::except)
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
        let abort = self.tasks.spawn(attempt.instrument(span));
        let job = Job::Attempt(Box::new(Attempt {
            credentials: self.evidence.credentials.generation(&claim.event.user_id),
            facts,
            retry: route.retry,
            // Where one attempt is all there is, it is not made twice for want of evidence.
            is_always_charged: route.is_always_charged || claim.event.max_attempts == 1,
            max_snoozes: route.max_snoozes,
            abort: abort.clone(),
            lease_lost: false,
        }));
        self.jobs.insert(abort.id(), job);
    }

    /// Settles a claimed event as not attempted.
    pub(super) fn hand_back(&mut self, claim: &Claim) {
        let outcome = Outcome::GivenBack {
            delay: Duration::ZERO,
            refusal: None,
        };
        self.settle(claim, outcome, &RetryPolicy::default());
    }

    /// Starts refreshing the credentials of the user who has needed it for longest, unless that is being done for somebody.
    pub(super) fn start_refresh(&mut self) {
        let is_refresh = |job: &Job| matches!(job, Job::Refresh { .. });
        if self.evidence.is_empty() || self.jobs.values().any(is_refresh) {
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
        let abort = self.tasks.spawn(refresh);
        self.jobs
            .insert(abort.id(), Job::Refresh { user_id, abort });
    }
}

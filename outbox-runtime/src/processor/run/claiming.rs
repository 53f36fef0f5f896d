//! Claiming: decides which events to claim, how many, and in which order.

use std::sync::Arc;

use tracing::debug;

use super::Run;
use super::batching::Source;
use super::turns::Turns;
use crate::claim::ClaimRequest;
use crate::error::StoreError;
use crate::processor::evidence::{Evidence, Facts, Node, Restriction, Want};

/// The maximum number of claims in one round.
const MAX_CLAIMS: usize = 64;

/// The maximum number of empty claims in one round after which the store is asked whether anything
/// is left at all.
const MAX_LOOKS: usize = 8;

impl Run {
    /// Records outcomes and claims events, in as few requests to the store as possible. Returns
    /// whether there is more to do.
    pub(super) async fn record_and_claim(&mut self) -> Result<bool, StoreError> {
        self.ended_meanwhile = false;
        self.leaves_until = self.frees_more_until();
        if self.leaves_until.is_some() {
            return Ok(false);
        }
        self.find_unhandled().await;
        self.fill_limited().await?;
        self.follow_on().await?;
        let mut empty: Vec<Want> = Vec::new();
        let (mut looks, mut has_forgotten) = (MAX_LOOKS, false);
        for _ in 0..MAX_CLAIMS {
            let Some(want) = self.next_want(&empty) else {
                break;
            };
            if !self.reserve_for(&want) {
                self.record().await?;
                empty.push(want);
                continue;
            }
            let claimed = self.record_and_claim_of(&want).await?;
            if claimed == 0 {
                if want.is_for_evidence {
                    self.nothing_else(&want);
                }
                if looks > 0 && want.covers_node {
                    looks -= 1;
                    has_forgotten |= self.forget_if_nothing_left(&want).await?;
                }
            }
            // More to do: an event without a handler must be recorded as given back, and an attempt
            // that ended meanwhile must be recorded or may have ended a pause.
            if claimed >= want.limit || !self.unrecorded.is_empty() || self.ended_meanwhile {
                return Ok(true);
            }
            empty.push(want);
        }
        if has_forgotten {
            return Ok(true);
        }
        if empty.is_empty() {
            self.alarms.set_due(None);
            self.record().await?;
            return Ok(self.ended_meanwhile);
        }
        let restrictions = self.claim_restrictions();
        // If there are more claims than one round makes, the next round continues with the due
        // events.
        let mut asked = self.wants_within(&restrictions);
        asked.append(&mut empty);
        // Events that a restriction keeps from being claimed now do not count as due: they wait for
        // something else to happen.
        let was_asked = |node: &Node| asked.iter().any(|want| want.is_for(node));
        let without = restrictions
            .iter()
            .filter(|it| !it.is_asked_for(&restrictions, was_asked));
        let without: Vec<Node> = without.map(|it| it.node.clone()).collect();
        let own = self.user_id.clone().map(Node::Credentials);
        if own.is_some_and(|own| without.contains(&own)) {
            self.alarms.set_due(None);
            return Ok(self.ended_meanwhile);
        }
        let request = self.request(1, &without);
        let queue = Arc::clone(&self.shared.queue);
        let due_at = self
            .await_store(async { queue.next_due(&request).await })
            .await?;
        self.alarms.set_due(self.claimable_at(due_at));
        Ok(self.ended_meanwhile)
    }

    /// Records outcomes and makes one claim. Returns the number of claimed events.
    async fn record_and_claim_of(&mut self, want: &Want) -> Result<usize, StoreError> {
        let request = self.request_of(want);
        let queue = Arc::clone(&self.shared.queue);
        let recording = self.unrecorded.take();
        let settlements = recording.clone();
        let began = self.shared.clock.uptime();
        let exchange = self
            .await_store(async { queue.settle_and_claim(settlements, &request).await })
            .await;
        let took = self.shared.clock.uptime().saturating_sub(began);
        self.meter.committed(took);
        let recorded = self.recorded(recording, exchange.settled);
        let claims = match exchange.claimed {
            Ok(claims) => claims,
            Err(error) => {
                self.publish_places(true);
                return recorded.and(Err(error));
            }
        };
        if let Some(turns) = self.turns_of(want) {
            turns.claimed(&request, &claims);
        }
        let claimed = claims.len();
        if want.node.is_none() {
            self.took_all = claimed < want.limit;
        }
        // Accept the claims even if recording failed: no other worker gets these events.
        self.accept(claims, &request, Source::Claim);
        self.publish_places(true);
        let filled = self.fill_batches().await;
        self.start_waiting();
        recorded.and(filled)?;
        Ok(claimed)
    }

    /// Waits for the store, and keeps handlers going until it answers. Attempts that end meanwhile
    /// are recorded together.
    pub(super) async fn await_store<T>(&mut self, request: impl Future<Output = T>) -> T {
        tokio::pin!(request);
        loop {
            tokio::select! {
                biased;
                answer = &mut request => return answer,
                Some(end) = self.jobs.next() => {
                    self.ended_meanwhile = true;
                    self.on_task_end(end);
                    self.start_refresh();
                    self.start_waiting();
                }
            }
        }
    }

    /// The next claim to make, except those that brought less than they asked for.
    ///
    /// Claims rotate, so that none keeps the others waiting when few handlers are free. A claim
    /// that gives way comes after all others.
    fn next_want(&mut self, empty: &[Want]) -> Option<Want> {
        let wants = self.wants();
        if wants.is_empty() {
            // Leave the rotation alone. If every claim fills all places, turning it here would make
            // the next free place go to the same claim each time.
            return None;
        }
        let is_new = |want: &&Want| {
            let mut asked = empty.iter().filter(|asked| asked.node == want.node);
            let is_its_turn = !want.is_last_resort || asked.clone().next().is_some();
            is_its_turn && !asked.any(|asked| asked.asks_for_the_same(want))
        };
        self.rotation = self.rotation.wrapping_add(1);
        let (before, after) = wants.split_at(self.rotation % wants.len());
        let in_turn = || after.iter().chain(before).filter(is_new);
        let first = in_turn().find(|want| !want.gives_way);
        first.or_else(|| in_turn().next()).cloned()
    }

    fn wants(&self) -> Vec<Want> {
        self.wants_within(&self.claim_restrictions())
    }

    fn wants_within(&self, restrictions: &[Restriction]) -> Vec<Want> {
        let settings = &self.shared.settings;
        let taken = self.jobs.attempts() + self.waiting.len() + self.batches.places();
        let free = settings.max_concurrency.saturating_sub(taken);
        let ahead = self
            .pace
            .ahead(settings.max_concurrency, settings.batch_size);
        // Claim ahead in bulk, not one by one: each claim is a commit.
        let more = if self.waiting.len() <= ahead {
            ahead
        } else {
            0
        };
        let mut wants = Evidence::wants(restrictions, free, more);
        if let Some(user) = &self.user_id {
            // This run serves one user. If that user's credentials are restricted, nothing
            // unrestricted is left.
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

    /// The nodes that may have fewer attempts in flight than there are handlers, after refusals,
    /// and how many.
    pub(super) fn restrictions(&self) -> Vec<Restriction> {
        if self.evidence.is_empty() {
            return Vec::new();
        }
        self.evidence.restrictions(&self.flight(), self.now())
    }

    /// The attempts in flight.
    pub(super) fn flight(&self) -> Vec<&Facts> {
        self.jobs.flight().collect()
    }

    /// Tells the evidence that an endpoint in doubt, or a user with a second chance, has nothing
    /// else to try.
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

    /// Forgets what is known of a claim's target if the claim brought nothing and the store has
    /// nothing left for it, not even for later. Otherwise users and destinations that never come
    /// back would be remembered until the run ends. Returns whether anything was forgotten.
    async fn forget_if_nothing_left(&mut self, want: &Want) -> Result<bool, StoreError> {
        let Some(node) = &want.node else {
            return Ok(false);
        };
        if self.may_hold_some_of(node) {
            return Ok(false);
        }
        let request = self.request(1, &[]).only(self.shared.routes.selector(node));
        let queue = Arc::clone(&self.shared.queue);
        let due_at = self
            .await_store(async { queue.next_due(&request).await })
            .await?;
        if due_at.is_some() || self.may_hold_some_of(node) {
            return Ok(false);
        }
        let now = self.now();
        Ok(self.evidence.forget(node, now))
    }

    /// Whether this run may hold events of the node, which the store does not report.
    fn may_hold_some_of(&self, node: &Node) -> bool {
        let is_in_flight = || self.flight().iter().any(|facts| node.has_attempt(facts));
        let is_waiting = self.waiting.len() > 0 || !self.batches.is_empty();
        let is_unrecorded = !self.unrecorded.is_empty() || self.unrecorded.has_postponed();
        let has_any = is_unrecorded || is_waiting;
        has_any || self.evidence.is_in_doubt(node) || is_in_flight()
    }

    pub(super) fn may_claim(&self) -> bool {
        !self.is_backing_off() && !self.wants().is_empty()
    }

    fn request_of(&mut self, want: &Want) -> ClaimRequest {
        let is_for_all_users = self.user_id.is_none();
        let request = self
            .request(want.limit, &want.except)
            .in_order(want.order)
            .avoiding_users(want.avoid.clone());
        let request = match &want.node {
            Some(node) => request.only(self.shared.routes.selector(node)),
            None => request,
        };
        match self.turns_of(want) {
            Some(turns) if is_for_all_users => turns.in_turn(request),
            _ => request,
        }
    }

    /// The turns of users in claims like this one; `None` where the claim has an order of its own.
    fn turns_of(&mut self, want: &Want) -> Option<&mut Turns> {
        match &want.node {
            None => Some(&mut self.turns),
            Some(Node::Limited(destination)) => {
                let index = self.limits.index_of(destination.as_deref())?;
                self.limited_turns.get_mut(index)
            }
            Some(_) => None,
        }
    }

    /// A request for all events that this run has handlers for, except those of these nodes.
    pub(super) fn request(&self, limit: usize, except: &[Node]) -> ClaimRequest {
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

    /// Lists the store's event types to find more without a handler, once some were found.
    async fn find_unhandled(&mut self) {
        if !self.unhandled.should_list() || !self.shared.routes.is_any_untyped() {
            return;
        }
        self.unhandled.begin_listing();
        let repository = Arc::clone(&self.shared.repository);
        let types = match self
            .await_store(async { repository.event_types().await })
            .await
        {
            Ok(types) => types,
            // They are then found one by one, and the list is requested again.
            Err(error) => return debug!(%error, "the event types could not be listed"),
        };
        let mut more = types;
        more.retain(|event_type| {
            !self.unhandled.types().contains(event_type) && !self.shared.routes.is_taken(event_type)
        });
        self.unhandled.add(more.into_iter());
    }
}

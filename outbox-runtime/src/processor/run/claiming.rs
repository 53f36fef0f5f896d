//! Claiming: how much, of what, and in which order.

use std::sync::Arc;

use tracing::debug;

use super::Run;
use crate::claim::ClaimRequest;
use crate::error::StoreError;
use crate::processor::evidence::{Evidence, Facts, Node, Restriction, Want};

/// At most so many claims are made before the run looks around again.
const CLAIMS: usize = 64;

impl Run {
    /// Records what has ended and claims what may be claimed, together in as few requests to the
    /// store as can be. `true`: there is more to do.
    pub(super) async fn record_and_claim(&mut self) -> Result<bool, StoreError> {
        self.ended_meanwhile = false;
        self.find_unhandled().await;
        let mut empty: Vec<Want> = Vec::new();
        for _ in 0..CLAIMS {
            let Some(want) = self.next_want(&empty) else {
                break;
            };
            let claimed = self.record_and_claim_of(&want).await?;
            if claimed == 0 && want.is_for_evidence {
                self.nothing_else(&want);
            }
            // An event that no handler takes is to be recorded as given back; what has ended
            // meanwhile, as well, or it has ended a pause.
            if claimed >= want.limit || !self.unrecorded.is_empty() || self.ended_meanwhile {
                return Ok(true);
            }
            empty.push(want);
        }
        if empty.is_empty() {
            self.alarms.set_due(None);
            self.record().await?;
            return Ok(self.ended_meanwhile);
        }
        let restrictions = self.restrictions();
        // Where there are more claims than a round makes, the next round goes on with what is due.
        let mut asked = self.wants_within(&restrictions);
        asked.append(&mut empty);
        // What could not be claimed now is not when it is due either, but when something else
        // happens.
        let was_asked = |node: &Node| asked.iter().any(|want| want.node.as_ref() == Some(node));
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
        let repository = Arc::clone(&self.shared.repository);
        let due_at = self
            .meanwhile(async { repository.next_due(&request).await })
            .await?;
        self.alarms.set_due(self.when_it_may_be_taken(due_at));
        Ok(self.ended_meanwhile)
    }

    /// Records what has ended and makes one claim. Returns how many events it brought.
    async fn record_and_claim_of(&mut self, want: &Want) -> Result<usize, StoreError> {
        let request = self.request_of(want);
        let repository = Arc::clone(&self.shared.repository);
        let recording = self.unrecorded.take();
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
        if claimed > 0 {
            self.activity.note();
        }
        // Whatever became of the outcomes: what is claimed here comes to nobody else.
        for claim in claims {
            let lease = request.lease_for(&claim.event.event_type);
            self.take_on(claim, lease);
        }
        self.start_waiting();
        recorded?;
        Ok(claimed)
    }

    /// Waits for the store, and keeps the handlers going until it answers: what ends meanwhile is
    /// recorded together.
    pub(super) async fn meanwhile<T>(&mut self, request: impl Future<Output = T>) -> T {
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

    /// The claim to be made next, but for those that brought less than they asked for.
    ///
    /// They take turns, so that with few places none keeps the others waiting.
    fn next_want(&mut self, empty: &[Want]) -> Option<Want> {
        let wants = self.wants();
        let is_new = |want: &&Want| {
            let mut asked = empty.iter().filter(|asked| asked.node == want.node);
            let is_its_turn = !want.is_last_resort || asked.clone().next().is_some();
            is_its_turn && !asked.any(|asked| asked.is_of_the_same(want))
        };
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % wants.len().max(1);
        let (before, after) = wants.split_at(first);
        after.iter().chain(before).find(is_new).cloned()
    }

    fn wants(&self) -> Vec<Want> {
        self.wants_within(&self.restrictions())
    }

    fn wants_within(&self, restrictions: &[Restriction]) -> Vec<Want> {
        let settings = &self.shared.settings;
        let taken = self.jobs.attempts() + self.waiting.len();
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
        self.jobs.flight().collect()
    }

    /// An endpoint in doubt has nothing else to try.
    fn nothing_else(&mut self, want: &Want) {
        let Some(endpoint) = &want.node else {
            return;
        };
        let now = self.now();
        let mut evidence = std::mem::take(&mut self.evidence);
        let judged = evidence.nothing_else(endpoint, &self.flight(), now);
        self.evidence = evidence;
        self.settle_judged(judged);
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

    /// Finds the other types that no handler takes, once some were met.
    async fn find_unhandled(&mut self) {
        if !self.unhandled.may_be_more() || !self.shared.routes.is_any_untyped() {
            return;
        }
        self.unhandled.begin_look();
        let repository = Arc::clone(&self.shared.repository);
        let types = match self
            .meanwhile(async { repository.event_types().await })
            .await
        {
            Ok(types) => types,
            // They are met one by one, then, and looked for again.
            Err(error) => return debug!(%error, "the event types could not be listed"),
        };
        let mut more = types;
        more.retain(|event_type| {
            !self.unhandled.types().contains(event_type) && !self.shared.routes.is_taken(event_type)
        });
        self.unhandled.add(more.into_iter());
    }
}

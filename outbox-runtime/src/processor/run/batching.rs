//! Batching: gathers claimed events into batches, and starts them.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::Run;
use super::gathering::{Filling, bytes_of};
use super::jobs::{Attempt, Done, Job};
use super::lanes::Lanes;
use super::search::Group;
use crate::claim::{Claim, ClaimRequest};
use crate::error::StoreError;
use crate::handler::Batching;
use crate::outcome::Outcome;
use crate::processor::batch_attempt;
use crate::processor::evidence::{Facts, Restriction};
use crate::processor::routes::Route;

/// Where a claimed event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A claim of any events.
    Claim,
    /// A claim of more events for a batch.
    Filling,
}

impl Run {
    /// Adds a claimed event to its batch.
    pub(super) fn gather(&mut self, mut claim: Claim, batching: Batching, source: Source) {
        self.promised.allow(&mut claim);
        let most = self.shared.settings.max_concurrency;
        let may_have_more = source == Source::Claim;
        let now = self.now();
        self.batches.add(claim, batching, most, may_have_more, now);
    }

    /// Claims more events for the batches that were begun. Their first events came by a claim that
    /// considers all users and types; the others follow them in the same place.
    pub(super) async fn fill_batches(&mut self) -> Result<(), StoreError> {
        while let Some(filling) = self.batches.next_filling() {
            if let Err(error) = self.fill(filling).await {
                self.batches.stop_filling();
                return Err(error);
            }
        }
        Ok(())
    }

    async fn fill(&mut self, filling: Filling) -> Result<(), StoreError> {
        let Filling {
            like,
            selector,
            limit,
        } = filling;
        let event = &like.event;
        let settings = &self.shared.settings;
        let route = self.shared.routes.route(&event.event_type, settings);
        let is_probe = |route: Route| {
            let restrictions = self.restrictions();
            let mut own = restrictions.iter().filter(|it| it.has(route.index, event));
            own.any(Restriction::is_probed)
        };
        if limit == 0 || route.is_none_or(is_probe) {
            self.batches.filled(event, true);
            return Ok(());
        }
        let limit = limit.min(self.shared.settings.batch_size);
        let request = self.request(limit, &[]).only(selector);
        let queue = Arc::clone(&self.shared.queue);
        let claims = self
            .await_store(async { queue.claim(&request).await })
            .await?;
        let bytes: usize = claims.iter().map(|claim| bytes_of(&claim.event)).sum();
        let is_all = claims.len() < limit && bytes < ClaimRequest::MAX_METADATA_BYTES;
        self.accept(claims, &request, Source::Filling);
        if is_all && self.follow(event).await? {
            self.batches.filled(event, false);
        }
        Ok(())
    }

    /// Takes on claimed events.
    pub(super) fn accept(&mut self, claims: Vec<Claim>, request: &ClaimRequest, source: Source) {
        if !claims.is_empty() {
            self.activity.note();
        }
        let now = self.now();
        for claim in claims {
            self.meter.claimed(&claim.event, now);
            let lease = request.lease_for(&claim.event.event_type);
            self.take_on(claim, lease, source, now);
        }
    }

    /// Starts batches while handlers are free. Those that are paused by now go back to the store,
    /// as do those that may not be sent for longer than they may wait for events: an answer that
    /// takes long may leave their destination in doubt.
    pub(super) fn start_batches(&mut self) {
        if self.controls.stop.is_cancelled() {
            // The halves of a batch that was refused meanwhile go back as well.
            return;
        }
        let now = self.now();
        self.batches.close_those_that_do_not_wait();
        let mut restrictions = self.restrictions();
        let most = self.shared.settings.max_concurrency;
        let mut free = most.saturating_sub(self.jobs.attempts());
        let mut kept = Vec::new();
        for mut group in self.batches.take_startable() {
            let Some(first) = group.claims.first() else {
                continue;
            };
            let event = &first.event;
            let settings = &self.shared.settings;
            let Some(route) = self.shared.routes.route(&event.event_type, settings) else {
                self.hand_back_group(&group);
                continue;
            };
            let mut own: Vec<&mut Restriction> = restrictions
                .iter_mut()
                .filter(|it| it.has(route.index, event))
                .collect();
            if own.iter().any(|it| it.room == 0) {
                let is_sent_back = own.iter().any(|it| it.room == 0 && it.sends_back());
                let wait = route.batching.map_or(Duration::ZERO, |it| it.wait());
                if is_sent_back || group.is_held_too_long(wait, now) {
                    self.hand_back_group(&group);
                } else {
                    kept.push(group);
                }
            } else if free == 0 {
                group.held_until = None;
                kept.push(group);
            } else if !self.may_begin(event) {
                match group.place {
                    // The part of a refused batch waits for its turn.
                    Some(_) => kept.push(group),
                    // The claim for a batch brought events that do not fit in with the others.
                    None => self.hand_back_group(&group),
                }
            } else {
                for restriction in &mut own {
                    restriction.room -= 1;
                }
                free -= 1;
                self.start_group(group, route);
            }
        }
        self.batches.put_back(kept);
    }

    /// Starts the handler of a batch, without the events whose leases have ended meanwhile.
    fn start_group(&mut self, group: Group, route: Route) {
        let now = self.now();
        let Group {
            mut claims, place, ..
        } = group;
        let mut lost = Lanes::default();
        claims.retain(|claim| {
            let event = &claim.event;
            let event_id = event.id;
            if lost.has(event) {
                // It was to follow an event that another worker may have.
                self.hand_back(claim);
                return false;
            }
            let is_in_force = self.leases.is_in_force(&claim.lease, now);
            if !is_in_force {
                warn!(
                    %event_id,
                    "the lease expired before the handler could start; the next claim takes the event"
                );
                self.leases.release_this(&claim.lease);
                lost.insert(event);
                let behind = self.batches.take_behind(event);
                self.hand_back_all(&behind);
            } else if event.is_expired(now) {
                let on_expiry = route.on_expiry;
                self.settle(claim, Outcome::Expired { on_expiry }, &route.retry);
                return false;
            }
            is_in_force
        });
        let mut others = claims.iter().cloned();
        let Some(claim) = others.next() else {
            return self.part_ended(place);
        };
        let others: Arc<[Arc<Claim>]> = others.collect();
        let facts = Facts {
            claim: Arc::clone(&claim),
            with: Some(others).filter(|others| !others.is_empty()),
            set: route.index,
            number: self.evidence.begin(),
            began_at: now,
        };
        let attempt = batch_attempt::run(
            route.handler,
            claims.into(),
            route.timeout,
            Arc::clone(&self.shared.clock),
        );
        let attempt = self.spans.around_batch(&facts, Box::pin(attempt));
        let attempt = async move {
            let (ended, took) = attempt.await;
            Done::Batch(ended, took)
        };
        self.evidence.begun(&facts);
        let user_id = &claim.event.user_id;
        let job = Job::Attempt(Box::new(Attempt {
            credentials: self.evidence.credentials.generation(user_id),
            retry: route.retry,
            is_always_charged: route.is_always_charged,
            max_snoozes: route.max_snoozes,
            lease_lost: false,
            lost: Vec::new(),
            place,
            keeps_order: route.batching.is_some_and(|it| it.keeps_order()),
            facts,
        }));
        self.jobs.spawn(job, attempt);
    }

    /// Settles the events of a group as not attempted, and the rest of its search with it.
    fn hand_back_group(&mut self, group: &Group) {
        self.hand_back_all(&group.claims);
        if let Some(place) = group.place {
            let rest = self.batches.take_rest(place);
            self.hand_back_all(&rest);
        }
    }

    /// Settles the events of these users that wait for a batch handler as not attempted.
    pub(super) fn hand_back_batches(&mut self, which: impl Fn(&str) -> bool) {
        if self.batches.is_empty() {
            return;
        }
        let taken = self.batches.take(which);
        self.hand_back_all(&taken);
    }
}

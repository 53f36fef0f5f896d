//! Limiting: the places that this run has at limited destinations, and the claims that they allow.

use chrono::{DateTime, Utc};

use super::Run;
use crate::clock;
use crate::error::StoreError;
use crate::event::OutboxEvent;
use crate::processor::evidence::{Node, Restriction, Want};
use crate::processor::limits::{Full, Use};
use crate::statistics::WaitsFor;

impl Run {
    /// Tells the other runs of the processor which places this one has. With `is_claim_over`, none
    /// is reserved for a claim any more.
    pub(super) fn publish_places(&self, is_claim_over: bool) {
        if self.limits.is_empty() {
            return;
        }
        let mut uses = vec![Use::default(); self.limits.len()];
        let index = |event: &OutboxEvent| self.limits.index_of(event.destination.as_deref());
        for facts in self.jobs.flight() {
            if let Some(uses) = index(&facts.claim.event).and_then(|at| uses.get_mut(at)) {
                uses.calls += 1;
            }
        }
        for event in self.waiting.events().chain(self.batches.calls()) {
            if let Some(uses) = index(event).and_then(|at| uses.get_mut(at)) {
                uses.held += 1;
            }
        }
        self.limits.publish(&uses, is_claim_over);
    }

    /// All that restricts claims: what is known of the services, and the limits.
    pub(super) fn claim_restrictions(&self) -> Vec<Restriction> {
        let mut all = self.restrictions();
        if !self.limits.is_empty() {
            self.publish_places(false);
            let left = self.limits.places_left(self.shared.clock.uptime());
            let limited = self.limits.destinations().zip(left);
            all.extend(limited.map(|(destination, room)| {
                Restriction::limited(&Node::Limited(destination.clone()), room)
            }));
        }
        all
    }

    /// Fills the batches that wait for more events at destinations without another place, which
    /// the claims of others do not reach.
    pub(super) async fn fill_limited(&mut self) -> Result<(), StoreError> {
        if self.limits.is_empty() || self.batches.is_empty() || !self.may_claim() {
            return Ok(());
        }
        let left = self.limits.places_left(self.shared.clock.uptime());
        let limits = &self.limits;
        let is_full = |event: &OutboxEvent| {
            let index = limits.index_of(event.destination.as_deref());
            index.is_some_and(|index| left.get(index) == Some(&0))
        };
        if self.batches.reopen(is_full) {
            self.fill_batches().await?;
        }
        Ok(())
    }

    /// Reserves the places that the events of a claim may need. Returns whether there are as many:
    /// another run of the processor may have been faster.
    pub(super) fn reserve_for(&self, want: &Want) -> bool {
        if self.limits.is_empty() {
            return true;
        }
        let limited = self.limits.destinations().enumerate();
        let reached =
            limited.filter(|(_, destination)| want.reaches(&Node::Limited((*destination).clone())));
        let reached: Vec<usize> = reached.map(|(index, _)| index).collect();
        let now = self.shared.clock.uptime();
        self.limits.reserve(&reached, want.limit, now)
    }

    /// Begins the call of an event or of a batch with this event. Returns whether the limit of its
    /// destination allows it.
    pub(super) fn may_begin(&self, event: &OutboxEvent) -> bool {
        match self.limits.index_of(event.destination.as_deref()) {
            Some(index) => self.limits.begin(index, self.shared.clock.uptime()),
            None => true,
        }
    }

    /// When the pace of a destination next allows a call, counted from the start of the round. A
    /// run without a free handler learns that from the end of an attempt.
    pub(super) fn next_paced_call(&self) -> Option<DateTime<Utc>> {
        let is_full = || self.jobs.attempts() >= self.shared.settings.max_concurrency;
        if self.limits.is_empty() || is_full() {
            return None;
        }
        let since = self.reading.uptime;
        let at = self.limits.next_call(since)?;
        Some(clock::after(self.reading.now, at.saturating_sub(since)))
    }

    /// The limit because of which this run does not claim an event, if any.
    pub(super) fn explain_limit(&self, event: &OutboxEvent) -> Option<WaitsFor> {
        let index = self.limits.index_of(event.destination.as_deref())?;
        self.publish_places(false);
        let now = self.shared.clock.uptime();
        let until = match self.limits.explain(index, now)? {
            Full::Calls => None,
            Full::Pace { next } => Some(clock::after(self.now(), next.saturating_sub(now))),
        };
        Some(WaitsFor::Limit {
            destination: event.destination.clone(),
            until,
        })
    }
}

//! The work queue: claiming, recording outcomes, keeping leases, waking up.

use super::MemoryStore;
use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::outcome::{Settled, Settlement};
use crate::repository::{OutboxQueue, Rescued, Revision};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl OutboxQueue for MemoryStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.awake("claim")?;
        let now = self.now();
        Ok(self.state().claim(request, now))
    }

    async fn follow(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        self.awake("follow")?;
        let now = self.now();
        Ok(self.state().follow(request, now))
    }

    fn can_follow(&self) -> bool {
        true
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.awake("settle")?;
        let now = self.now();
        let settled = {
            let state = &mut *self.state();
            settlements
                .into_iter()
                .map(|settlement| state.settle(settlement, now))
                .collect()
        };
        self.shared.signal.raise();
        Ok(settled)
    }

    async fn extend(
        &self,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError> {
        self.awake("extend")?;
        let now = self.now();
        let state = &mut *self.state();
        let extended = leases.iter().map(|held| state.extend(held, now, lease));
        Ok(extended.collect())
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        let (_, rescued) = self.rescue_others(&[], None).await?;
        Ok(rescued)
    }

    async fn rescue_others(
        &self,
        held: &[(Lease, Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        self.awake("rescue")?;
        let now = self.now();
        let state = &mut *self.state();
        let renewed = held.iter().map(|(lease, duration)| {
            if lease.expires_at > now {
                return Some(*lease);
            }
            state.extend(lease, now, *duration)
        });
        let renewed = renewed.collect();
        let rescued = match only {
            Some(only) => state.rescue_only(now, only),
            None => state.rescue(now),
        };
        if rescued != Rescued::default() {
            self.shared.signal.raise();
        }
        Ok((renewed, rescued))
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.awake("next_due")?;
        let now = self.now();
        let state = self.state();
        let pauses = state.pauses();
        let request = &*pauses.applied(request, now);
        let due = |seq: &i64| {
            let event = state.rows.get(seq)?;
            request.matches(event).then_some(event.next_attempt_at)
        };
        let ready = state.ready.in_order().find_map(due);
        let waiting = state.waiting.iter().find_map(|(_, seq)| due(seq));
        let expiry = state.leased.first().map(|(ends, _)| *ends);
        let times = [ready, waiting, expiry, pauses.next_end(now)];
        Ok(times.into_iter().flatten().min())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    fn revision(&self) -> Revision {
        self.shared.signal.revision()
    }

    async fn changed(&self, seen: Revision) -> Revision {
        self.shared.signal.changed(seen).await
    }
}

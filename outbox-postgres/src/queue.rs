//! The store as an [`OutboxQueue`].

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    Claim, ClaimRequest, Exchange, FollowRequest, Lease, OutboxQueue, Rescued, Revision, Settled,
    Settlement,
};
use outbox_runtime::{Clock, StoreError, async_trait};

use crate::store::PostgresStore;

#[async_trait]
impl OutboxQueue for PostgresStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.claim_events(request).await
    }

    async fn follow(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        self.follow_leased(request).await
    }

    fn can_follow(&self) -> bool {
        true
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.settle_all(settlements).await
    }

    async fn settle_and_claim(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        self.exchange(settlements, request).await
    }

    async fn extend(
        &self,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError> {
        self.extend_leases(leases, lease).await
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        let (_, rescued) = self.rescue_events(&[], None).await?;
        Ok(rescued)
    }

    async fn rescue_others(
        &self,
        held: &[(Lease, Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        self.rescue_events(held, only).await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.next_due_time(request).await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    fn revision(&self) -> Revision {
        self.shared.signal.revision()
    }

    async fn changed(&self, seen: Revision) -> Revision {
        let _waiter = self.shared.wakes.wait();
        self.shared.signal.changed(seen).await
    }
}

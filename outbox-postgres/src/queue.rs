//! The store as an [`OutboxQueue`].

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    Claim, ClaimRequest, Exchange, Lease, OutboxQueue, Rescued, Revision, Settled, Settlement,
};
use outbox_runtime::{Clock, StoreError, async_trait};

use crate::store::PostgresStore;

#[async_trait]
impl OutboxQueue for PostgresStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.claim_events(request).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.settle_all(settlements).await
    }

    /// Both in one transaction and one round trip. If the claim meets another worker's on a lane,
    /// the outcomes are recorded first and the claim is made again.
    async fn settle_and_claim(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        if !settlements.is_empty() && request.limit() > 0 {
            self.shared.wakes.on_activity();
            let done = self.settle_and_find(settlements.clone(), request).await;
            match done {
                Ok(Some((settled, found))) => {
                    return Exchange {
                        settled: Ok(settled),
                        claimed: self.claim_after(request, found).await,
                    };
                }
                Err(error) if error.outcome_unknown() => {
                    return Exchange {
                        settled: Err(error.clone()),
                        claimed: Err(error),
                    };
                }
                // An error of the claim must not keep outcomes from being recorded.
                Ok(None) | Err(_) => {}
            }
        }
        Exchange {
            settled: self.settle_all(settlements).await,
            claimed: self.claim_events(request).await,
        }
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

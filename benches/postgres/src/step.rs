//! One step of a worker without its handlers: the outcomes of the last claim and the next claim.

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::store::{ClaimRequest, Disposition, OutboxQueue, Settled, Settlement};

/// Makes one step after the other.
pub(crate) struct Stepper {
    store: PostgresStore,
    settlements: Vec<Settlement>,
}

impl Stepper {
    pub(crate) fn new(store: PostgresStore) -> Self {
        Self {
            store,
            settlements: Vec::new(),
        }
    }

    /// Completes what the last step claimed and claims up to this many events. Returns their
    /// number.
    pub(crate) async fn step(&mut self, limit: usize) -> anyhow::Result<usize> {
        let request = ClaimRequest::new(limit, Duration::from_secs(600));
        let settlements = std::mem::take(&mut self.settlements);
        let exchange = self.store.settle_and_claim(settlements, &request).await;
        let is_lost = |settled: &Settled| *settled != Settled::Recorded;
        anyhow::ensure!(
            !exchange.settled?.iter().any(is_lost),
            "a lease was lost within ten minutes"
        );
        let claims = exchange.claimed?;
        let completed = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        });
        self.settlements = completed.collect();
        Ok(self.settlements.len())
    }
}

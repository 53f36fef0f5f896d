//! Workers, some of which fall silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::store::{
    ClaimRequest, Disposition, OutboxQueue, Settled, Settlement, SystemClock,
};
use outbox_runtime::{Clock, DeadReason, OutboxRepository};

use crate::{Run, below, nap, rng};

/// Longer than any stall of a busy machine: a worker that is merely slow must not lose its events.
const LEASE: Duration = Duration::from_millis(2_000);

impl Run {
    /// A worker: claims, delivers, reports, and now and then falls silent past its lease.
    pub(crate) async fn work(self: Arc<Self>, store: PostgresStore, seed: u64) {
        let mut rng = rng(seed);
        let request = ClaimRequest::new(10, LEASE);
        let mut next = Vec::new();
        loop {
            let began = SystemClock.uptime();
            let claims = match std::mem::take(&mut next) {
                none if none.is_empty() => store.claim(&request).await.unwrap(),
                claims => claims,
            };
            self.note_step(began);
            if claims.is_empty() {
                if self.is_over.load(Ordering::SeqCst) && self.is_drained(&store).await {
                    return;
                }
                if below(&mut rng, 4) == 0 {
                    let rescued = store.rescue().await.unwrap();
                    self.rescued
                        .fetch_add(rescued.requeued + rescued.buried, Ordering::SeqCst);
                }
                nap(2).await;
                continue;
            }
            claims.iter().for_each(|claim| self.begin(claim));
            nap(below(&mut rng, 4)).await;
            let calm = self.stops.load(Ordering::SeqCst);
            let mut settlements = Vec::new();
            for claim in &claims {
                let dice = below(&mut rng, 100);
                let abandons = dice < self.plan.abandons && !calm;
                let fails = !abandons && dice < self.plan.abandons + self.plan.fails && !calm;
                self.end(claim, !abandons && !fails);
                if abandons {
                    continue;
                }
                let later = store.clock().now()
                    + chrono::TimeDelta::milliseconds(below(&mut rng, 30).cast_signed());
                let disposition = match below(&mut rng, 4) {
                    _ if !fails => Disposition::Complete,
                    0 => Disposition::GiveBack {
                        next_attempt_at: None,
                        refusal: None,
                    },
                    1 if self.plan.edits => Disposition::Bury {
                        reason: DeadReason::Rejected,
                        message: "no".into(),
                    },
                    _ => Disposition::Fail {
                        next_attempt_at: later,
                        message: "no".into(),
                    },
                };
                settlements.push(Settlement {
                    lease: claim.lease,
                    disposition,
                });
            }
            let began = SystemClock.uptime();
            let outcomes = settlements.clone();
            let settled = if below(&mut rng, 2) == 0 {
                store.settle(outcomes).await.unwrap()
            } else {
                let exchange = store.settle_and_claim(outcomes, &request).await;
                next = exchange.claimed.unwrap();
                exchange.settled.unwrap()
            };
            self.note_step(began);
            self.settle_the_rest(&store, settlements, settled).await;
        }
    }

    /// Settles those again that were locked, and checks the results of the others.
    async fn settle_the_rest(
        &self,
        store: &PostgresStore,
        mut settlements: Vec<Settlement>,
        mut settled: Vec<Settled>,
    ) {
        loop {
            let mut locked = Vec::new();
            for (settlement, settled) in settlements.into_iter().zip(settled) {
                match settled {
                    Settled::Recorded => {}
                    Settled::Locked => locked.push(settlement),
                    // A worker that was too slow is no fault of the store's.
                    _ => assert!(
                        self.plan.edits || settlement.lease.expires_at <= store.clock().now(),
                        "{settled:?} of {settlement:?}"
                    ),
                }
            }
            if locked.is_empty() {
                return;
            }
            nap(1).await;
            settlements = locked;
            settled = store.settle(settlements.clone()).await.unwrap();
        }
    }

    fn note_step(&self, began: Duration) {
        let took = SystemClock.uptime().saturating_sub(began);
        let micros = u64::try_from(took.as_micros()).unwrap();
        self.slowest_micros.fetch_max(micros, Ordering::SeqCst);
    }

    async fn is_drained(&self, store: &PostgresStore) -> bool {
        store.rescue().await.unwrap();
        for dead in store
            .fetch_events(outbox_runtime::OutboxStatus::Dead, None, None)
            .await
            .unwrap()
        {
            store.reset_for_retry(&[dead.id]).await.unwrap();
        }
        store.statistics(None).await.unwrap().undelivered() == 0
    }
}

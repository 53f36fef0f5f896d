//! Workers, some of which fall silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::store::{
    Claim, ClaimRequest, Disposition, FollowRequest, OutboxQueue, Settled, Settlement, SystemClock,
};
use outbox_runtime::{Clock, DeadReason, OutboxRepository, StoreError, StoreErrorKind};
use outbox_testing::SeededRng;

use crate::{Run, below, nap, rng};

/// Longer than any stall of a busy machine: a worker that is merely slow must not lose its events.
const LEASE: Duration = Duration::from_millis(2_000);

/// A delivery, and what is reported of it, if anything is.
struct Attempt {
    claim: Claim,
    outcome: Option<Disposition>,
}

impl Attempt {
    fn is_delivered(&self) -> bool {
        matches!(self.outcome, Some(Disposition::Complete))
    }
}

impl Run {
    /// A worker: claims, delivers, reports, and now and then falls silent past its lease.
    pub(crate) async fn work(self: Arc<Self>, store: PostgresStore, seed: u64) {
        let mut rng = rng(seed);
        let request = ClaimRequest::new(10, LEASE);
        let mut next = Vec::new();
        loop {
            let began = SystemClock.uptime();
            let claims = match std::mem::take(&mut next) {
                none if none.is_empty() => {
                    let claims = self.insist(|| store.claim(&request)).await;
                    claims.iter().for_each(|claim| self.begin(claim));
                    claims
                }
                claims => claims,
            };
            self.note_step(began);
            if claims.is_empty() {
                if self.is_over.load(Ordering::SeqCst) && self.is_drained(&store).await {
                    return;
                }
                if below(&mut rng, 4) == 0 {
                    let rescued = self.insist(|| store.rescue()).await;
                    self.rescued
                        .fetch_add(rescued.requeued + rescued.buried, Ordering::SeqCst);
                }
                nap(2).await;
                continue;
            }
            let claims = self.fill(&store, claims, &mut rng).await;
            nap(below(&mut rng, 4)).await;
            let attempts = self.deliver(&store, claims, &mut rng);
            let (first, last) = self.calls(attempts, &mut rng);
            for attempts in [first, last] {
                if attempts.is_empty() {
                    continue;
                }
                // What an earlier call has claimed waits: its leases are long enough.
                let claims = self.report(&store, attempts, &request, &mut rng).await;
                next.extend(claims);
            }
        }
    }

    /// Adds events of the same lanes, lane by lane.
    async fn fill(
        &self,
        store: &PostgresStore,
        claims: Vec<Claim>,
        rng: &mut SeededRng,
    ) -> Vec<Claim> {
        if !self.plan.follows {
            return claims;
        }
        let mut lanes: Vec<Vec<Claim>> = claims.into_iter().map(|claim| vec![claim]).collect();
        for _ in 0..below(rng, 3) {
            let last = lanes.iter().filter_map(|lane| lane.last());
            let after = last.map(|claim| claim.lease).collect();
            let limit = usize::try_from(1 + below(rng, 12)).unwrap();
            let request = FollowRequest::new(after, limit);
            for follower in self.insist(|| store.follow(&request)).await {
                self.begin(&follower);
                let entity = &follower.event.entity_id;
                let is_its = |lane: &&mut Vec<Claim>| lane[0].event.entity_id == *entity;
                let lane = lanes.iter_mut().find(is_its);
                lane.expect("it follows one of a lane").push(follower);
            }
        }
        lanes.concat()
    }

    /// Decides what becomes of each event. Where one of a lane is not delivered, those behind it go
    /// back, or are never reported either.
    fn deliver(
        &self,
        store: &PostgresStore,
        claims: Vec<Claim>,
        rng: &mut SeededRng,
    ) -> Vec<Attempt> {
        let calm = self.stops.load(Ordering::SeqCst);
        let back = || Disposition::GiveBack {
            next_attempt_at: None,
            refusal: None,
        };
        let mut attempts: Vec<Attempt> = Vec::with_capacity(claims.len());
        for claim in claims {
            let entity = &claim.event.entity_id;
            let before = attempts.last();
            let before = before.filter(|before| before.claim.event.entity_id == *entity);
            let stopped = before.filter(|before| !before.is_delivered());
            if let Some(stopped) = stopped {
                let outcome = stopped.outcome.as_ref().map(|_| back());
                attempts.push(Attempt { claim, outcome });
                continue;
            }
            let dice = below(rng, 100);
            let abandons = dice < self.plan.abandons && !calm;
            let fails = !abandons && dice < self.plan.abandons + self.plan.fails && !calm;
            let later =
                store.clock().now() + chrono::TimeDelta::milliseconds(below(rng, 30).cast_signed());
            let disposition = match below(rng, 4) {
                _ if !fails => Disposition::Complete,
                0 => back(),
                1 if self.plan.edits => Disposition::Bury {
                    reason: DeadReason::Rejected,
                    message: "no".into(),
                },
                _ => Disposition::Fail {
                    next_attempt_at: later,
                    message: "no".into(),
                },
            };
            let outcome = (!abandons).then_some(disposition);
            attempts.push(Attempt { claim, outcome });
        }
        attempts
    }

    /// The attempts that are reported first, and those that are reported by another call: a store
    /// has to hold a lane until the last of its events is settled.
    fn calls(
        &self,
        mut attempts: Vec<Attempt>,
        rng: &mut SeededRng,
    ) -> (Vec<Attempt>, Vec<Attempt>) {
        if !self.plan.follows || below(rng, 3) > 0 {
            return (attempts, Vec::new());
        }
        let first = below(rng, attempts.len() as u64);
        let last = attempts.split_off(usize::try_from(first).unwrap());
        (attempts, last)
    }

    /// Reports attempts. Returns what the same call has claimed.
    async fn report(
        &self,
        store: &PostgresStore,
        attempts: Vec<Attempt>,
        request: &ClaimRequest,
        rng: &mut SeededRng,
    ) -> Vec<Claim> {
        let mut settlements = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            self.end(&attempt.claim, attempt.is_delivered());
            settlements.extend(attempt.outcome.map(|disposition| Settlement {
                lease: attempt.claim.lease,
                disposition,
            }));
        }
        let began = SystemClock.uptime();
        let outcomes = settlements.clone();
        let (settled, claimed) = if below(rng, 2) == 0 {
            let settled = self.insist(|| store.settle(outcomes.clone())).await;
            (settled, Vec::new())
        } else {
            let exchange = store.settle_and_claim(outcomes.clone(), request).await;
            let settled = match self.unless_unavailable(exchange.settled) {
                Some(settled) => settled,
                None => self.insist(|| store.settle(outcomes.clone())).await,
            };
            let claimed = self.unless_unavailable(exchange.claimed);
            (settled, claimed.unwrap_or_default())
        };
        self.note_step(began);
        claimed.iter().for_each(|claim| self.begin(claim));
        self.settle_the_rest(store, settlements, settled).await;
        claimed
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
            settled = self.insist(|| store.settle(settlements.clone())).await;
        }
    }

    fn note_step(&self, began: Duration) {
        let took = SystemClock.uptime().saturating_sub(began);
        let micros = u64::try_from(took.as_micros()).unwrap();
        self.slowest_micros.fetch_max(micros, Ordering::SeqCst);
    }

    /// Repeats a call that the store refuses for a while, as a run does: on a machine that stalls,
    /// a statement may wait for too long.
    async fn insist<T, F>(&self, call: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            if let Some(value) = self.unless_unavailable(call().await) {
                return value;
            }
            nap(1).await;
        }
    }

    /// `None` if the call can be repeated, and has done nothing.
    fn unless_unavailable<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let can_be_repeated =
            error.kind() == StoreErrorKind::Unavailable && !error.outcome_unknown();
        assert!(can_be_repeated, "{error:?}");
        eprintln!("{error}");
        self.unavailable.fetch_add(1, Ordering::SeqCst);
        None
    }

    async fn is_drained(&self, store: &PostgresStore) -> bool {
        self.insist(|| store.rescue()).await;
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

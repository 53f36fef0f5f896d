//! Outcomes and the next claim: in one transaction, or in two side by side.
//!
//! One transaction is one commit, and its claim finds the events behind those that have just ended.
//! It keeps one session of the server busy, though, while a worker with a long backlog waits for
//! it. As long as claims are filled with events that waited for nothing, the outcomes do not matter
//! to the next claim, and both run at once on two connections.

use futures_util::future::join;
use outbox_runtime::store::{ClaimRequest, Exchange, Settlement};

use crate::found::FirstFound;
use crate::settle::{Outcomes, Rows};
use crate::stage::Together;
use crate::store::PostgresStore;

/// The fewest events of a claim beside outcomes: smaller ones are nearly all round trip and commit.
const LEAST_BESIDE: usize = 32;

impl PostgresStore {
    /// Records outcomes and claims.
    pub(crate) async fn exchange(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        let is_alone = settlements.is_empty() || request.limit() == 0;
        if is_alone || self.shared.locked.has_any_of(&settlements) {
            return self.exchange_in_turn(settlements, request).await;
        }
        self.shared.wakes.on_activity();
        self.learn_indexes(request).await;
        match self.claims_beside(request) {
            true => self.exchange_beside(settlements, request).await,
            false => self.exchange_in_one(settlements, request).await,
        }
    }

    fn claims_beside(&self, request: &ClaimRequest) -> bool {
        request.limit() >= LEAST_BESIDE
            && self.pool().status().max_size > 1
            && self.shared.beside.is_next()
    }

    /// Notes what an exchange tells about the next one.
    fn exchanged(
        &self,
        request: &ClaimRequest,
        exchange: &Exchange,
        (was_beside, waited): (bool, bool),
    ) {
        let claimed = exchange.claimed.as_ref();
        let is_filled = claimed.is_ok_and(|claims| claims.len() >= request.limit());
        let beside = &self.shared.beside;
        beside.exchanged(was_beside, is_filled && !waited);
    }

    /// Both in one transaction and one round trip. If the claim meets another worker's on a lane,
    /// or a row is locked, the outcomes are recorded first and the claim is made again.
    async fn exchange_in_one(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        let outcomes = Outcomes::new(settlements);
        let rows = match self.settle_and_find(&outcomes, request).await {
            Ok(Together::Done(recorded, found)) => {
                let waited = recorded.unblocks || found.has_behind();
                let exchange = Exchange {
                    settled: Ok(recorded.settled),
                    claimed: self.claim_after(request, *found).await,
                };
                self.exchanged(request, &exchange, (false, waited));
                return exchange;
            }
            Err(error) if error.outcome_unknown() => {
                return Exchange {
                    settled: Err(error.clone()),
                    claimed: Err(error),
                };
            }
            Ok(Together::Locked) => Rows::Unlocked,
            // An error of the claim must not keep outcomes from being recorded.
            Ok(Together::Met) | Err(_) => Rows::All,
        };
        let recorded = self.record_outcomes(&outcomes, rows).await;
        Exchange {
            settled: recorded.map(|recorded| recorded.settled),
            claimed: self.claim_events(request).await,
        }
    }

    /// The outcomes first, and then the claim.
    async fn exchange_in_turn(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        Exchange {
            settled: self.settle_all(settlements).await,
            claimed: self.claim_events(request).await,
        }
    }

    /// Both at once. If events wait for some that end meanwhile, the rest is claimed afterward.
    async fn exchange_beside(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        let (recorded, found) = join(self.record(settlements), self.find_first(request)).await;
        let unblocks = recorded.as_ref().is_ok_and(|recorded| recorded.unblocks);
        let waited = unblocks || found.as_ref().is_ok_and(FirstFound::has_behind);
        let claimed = match found {
            Ok(found) if waited => self.claim_anew_after(request, found).await,
            Ok(found) => self.claim_after(request, found).await,
            Err(error) => Err(error),
        };
        let exchange = Exchange {
            settled: recorded.map(|recorded| recorded.settled),
            claimed,
        };
        self.exchanged(request, &exchange, (true, waited));
        exchange
    }
}

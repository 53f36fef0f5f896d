//! The work queue in a store: all that a processor needs to deliver.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::claim::{Claim, ClaimRequest, Lease};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::outcome::{Settled, Settlement};

/// The work queue in a store: claiming events, recording outcomes, keeping leases, and waking up.
///
/// Every store implements it together with [`OutboxRepository`](super::OutboxRepository), whose contract covers both.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store of events",
    label = "not an `OutboxQueue`",
    note = "pass a store by value: `store.clone()` is another handle on the same one"
)]
pub trait OutboxQueue: fmt::Debug + Send + Sync + 'static {
    /// Hands out due events, each first of its lane: higher priority first, then earlier due, then smaller seq; but for
    /// the places in which [users take turns](ClaimRequest::with_turns), or in
    /// [another order](ClaimRequest::in_order). It takes only what [matches](ClaimRequest::matches) the request, and of
    /// [users to be avoided](ClaimRequest::avoiding_users) only what nobody else can fill. Each is held for the
    /// [lease of its type](ClaimRequest::lease_for). It ends early where its events have
    /// [much metadata](ClaimRequest::MAX_METADATA_BYTES).
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError>;

    /// Records outcomes, all in one transaction. The answers are in the order of the settlements.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// [`settle`](Self::settle) and then [`claim`](Self::claim): what ends may let the next event go.
    ///
    /// Default: one after the other, each in a transaction of its own. A store that can do both in one commit is asked for
    /// half as many.
    async fn settle_and_claim(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        let settled = if settlements.is_empty() {
            Ok(Vec::new())
        } else {
            self.settle(settlements).await
        };
        Exchange {
            settled,
            claimed: self.claim(request).await,
        }
    }

    /// Moves the end of leases to `lease` from now. `None` stands where the lease is lost: settled, deleted or claimed by
    /// somebody else. One that has only ended is its holder's again, as the clock may have been set.
    async fn extend(
        &self,
        leases: &[Lease],
        lease: std::time::Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError>;

    /// Makes events whose lease expired claimable again, with the attempt given back and one more of their
    /// [`crashes`](OutboxEvent::crashes); or dead, [`CrashLoop`](crate::DeadReason::CrashLoop), where those are as many as the
    /// event may have attempts. A lease that began later than now, as the clock was set back since, is moved back along with it.
    async fn rescue(&self) -> Result<Rescued, StoreError>;

    /// [`rescue`](Self::rescue) by a worker that holds leases itself: those are never taken from it. What of them has ended is
    /// renewed for its duration instead, and told in the order of `held`, as by [`extend`](Self::extend); the others are told as they are.
    ///
    /// With `only`, just these leases are taken back, each if it has ended and was not renewed since.
    ///
    /// Default: one after the other, each in a transaction of its own; and nothing is taken back with `only`, so that work of the
    /// dead is taken up later. A store that can do both in one commit takes nothing from its caller that ends in between.
    async fn rescue_others(
        &self,
        held: &[(Lease, std::time::Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        let now = self.clock().now();
        let mut renewed = Vec::with_capacity(held.len());
        for (lease, duration) in held {
            if lease.expires_at > now {
                renewed.push(Some(*lease));
            } else {
                renewed.append(&mut self.extend(&[*lease], *duration).await?);
            }
        }
        let rescued = match only {
            None => self.rescue().await?,
            Some(_) => Rescued::default(),
        };
        Ok((renewed, rescued))
    }

    /// When [`claim`](Self::claim) with this request, or [`rescue`](Self::rescue), will next find something new, if
    /// nothing is enqueued until then.
    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// The clock that due times and leases are compared with.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The state of the store as of now, for [`changed`](Self::changed). Runs no query.
    fn revision(&self) -> Revision;

    /// Resolves with the current revision once work may have become claimable after `seen` was taken; at once where
    /// that is already so. It may resolve without need, and must not miss a commit that this process made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call with the same `seen` resolves at once.
    async fn changed(&self, seen: Revision) -> Revision;
}

/// A point in a store's history, for [`OutboxQueue::changed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// A store counts its commits.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The count.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

/// The answers of [`OutboxQueue::settle_and_claim`]. One may fail without the other.
#[derive(Debug)]
pub struct Exchange {
    /// What became of the settlements, in their order.
    pub settled: Result<Vec<Settled>, StoreError>,
    /// What was claimed.
    pub claimed: Result<Vec<Claim>, StoreError>,
}

/// What [`OutboxQueue::rescue`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rescued {
    /// Events that can be claimed again.
    pub requeued: u64,
    /// Events that crashed as often in a row as they may have attempts.
    pub buried: u64,
}

impl Rescued {
    /// For stores.
    #[must_use]
    pub const fn new(requeued: u64, buried: u64) -> Self {
        Self { requeued, buried }
    }
}

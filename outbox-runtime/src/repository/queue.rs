//! The work queue in a store: everything that a processor needs for delivery.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::outcome::{Settled, Settlement};

/// The work queue in a store: claims, outcomes, leases and wake-ups.
///
/// Every store implements it together with [`OutboxRepository`](super::OutboxRepository), whose
/// contract covers both.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store of events",
    label = "not an `OutboxQueue`",
    note = "pass a store by value: `store.clone()` is another handle on the same one"
)]
pub trait OutboxQueue: fmt::Debug + Send + Sync + 'static {
    /// Claims due events, each the first of its lane, by higher priority, then earlier due time,
    /// then smaller seq, except in the places where [users take turns](ClaimRequest::with_turns) or
    /// that have [another order](ClaimRequest::in_order). A claim takes only events that
    /// [match](ClaimRequest::matches) the request, and events of [avoided
    /// users](ClaimRequest::avoiding_users) only for places that no other user can fill. Each event
    /// is leased for the [lease of its type](ClaimRequest::lease_for). A claim ends early once its
    /// events have [this much metadata](ClaimRequest::MAX_METADATA_BYTES).
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError>;

    /// Leases the events that come next in the lanes of leased ones, for a batch that keeps their
    /// order. For each [lease of the request](FollowRequest::after) in turn these are the events
    /// directly behind its event, in `seq` order, up to the first one that does not
    /// [follow](crate::store::kit::follows), cannot be read, or is held back by a pause, a parent,
    /// or an older event of another order. An event is left out, and with it all that come later,
    /// if the answer would exceed a limit of the request.
    ///
    /// A follower is leased under the token, and until the end, of the lease that it follows, and
    /// its attempt is counted as by [`claim`](Self::claim). A lease that is lost or has expired has
    /// no followers.
    ///
    /// Settle the leased events of a lane in `seq` order, in one call: none of them can be claimed
    /// before the last is settled. Each lease is renewed by name, as any other.
    ///
    /// The default leases none, which is right for every store: an event that is not leased waits
    /// for the one before it.
    async fn follow(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        let _ = request;
        Ok(Vec::new())
    }

    /// Whether [`follow`](Self::follow) leases events. If not, it is not called.
    fn can_follow(&self) -> bool {
        false
    }

    /// Records outcomes, all in one transaction. The results are in the order of the settlements.
    ///
    /// It does not wait for transactions of the application: an outcome whose event is locked by
    /// one is answered with [`Locked`](Settled::Locked), and the others are recorded.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// Settles, as [`settle`](Self::settle) does, and then claims, as [`claim`](Self::claim) does:
    /// an event that ends may unblock the next one.
    ///
    /// The default does both in turn, each in its own transaction. A store that does both in one
    /// commit needs half as many commits.
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

    /// Extends leases to end `lease` from now. The result is `None` for a lost lease, whose event
    /// was settled, deleted or claimed by another worker. A lease that has merely expired is
    /// renewed for its holder, as the clock may have been set. The lease of an event that a
    /// transaction of the application holds locked is returned unchanged, even after its end:
    /// nobody can take the event until then.
    async fn extend(
        &self,
        leases: &[Lease],
        lease: std::time::Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError>;

    /// Makes events with an expired lease claimable again, with the attempt given back and their
    /// [`crashes`](crate::OutboxEvent::crashes) incremented; or dead with
    /// [`CrashLoop`](crate::DeadReason::CrashLoop), if the crashes have reached `max_attempts`. A
    /// lease that began later than now, because the clock was set back since, is moved back with
    /// the clock.
    async fn rescue(&self) -> Result<Rescued, StoreError>;

    /// Rescues, as [`rescue`](Self::rescue) does, for a worker that holds leases itself, which are
    /// never taken from it. The held leases that have expired are renewed for their duration
    /// instead; all of them are returned in the order of `held`, the expired ones as by
    /// [`extend`](Self::extend) and the others unchanged.
    ///
    /// With `only`, just these leases are taken back, each if it has expired and was not renewed
    /// since.
    ///
    /// The default renews and rescues in separate transactions, and takes nothing back with `only`,
    /// so that the work of dead workers is taken up later. A store that does both in one commit
    /// takes no lease from its caller that expires in between.
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

    /// Returns when [`claim`](Self::claim) with this request, or [`rescue`](Self::rescue), next
    /// finds something new, if nothing is enqueued until then. The end of a
    /// [pause](super::OutboxRepository::pause) counts as such a time, and a paused event as absent
    /// until then.
    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Returns the clock that due times and leases are compared with.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Returns the current state of the store, for [`changed`](Self::changed). Runs no query.
    fn revision(&self) -> Revision;

    /// Resolves with the current revision once work may have become claimable after `seen` was
    /// taken, at once if it already has. It may resolve without a reason, but must not miss a
    /// commit of this process.
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
    /// Creates a revision from a store's count of commits.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns the count of commits.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

/// The results of [`OutboxQueue::settle_and_claim`]. Either may fail without the other.
#[derive(Debug)]
pub struct Exchange {
    /// The results of the settlements, in their order.
    pub settled: Result<Vec<Settled>, StoreError>,
    /// The claimed events.
    pub claimed: Result<Vec<Claim>, StoreError>,
}

/// The counts of an [`OutboxQueue::rescue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rescued {
    /// Events that can be claimed again.
    pub requeued: u64,
    /// Events that are dead, as they crashed `max_attempts` times in a row.
    pub buried: u64,
}

impl Rescued {
    /// Used by stores.
    #[must_use]
    pub const fn new(requeued: u64, buried: u64) -> Self {
        Self { requeued, buried }
    }
}

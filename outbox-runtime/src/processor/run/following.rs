//! Following: adds to the batches that keep the order of their lanes what comes next in those
//! lanes.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::Run;
use crate::claim::{Claim, FollowRequest};
use crate::error::StoreError;
use crate::event::OutboxEvent;

impl Run {
    /// Adds the events that follow those of the batch which has events like this one. Returns
    /// whether the store has no more of them.
    pub(super) async fn follow(&mut self, like: &OutboxEvent) -> Result<bool, StoreError> {
        if !self.shared.queue.can_follow() {
            return Ok(true);
        }
        let Some(request) = self.batches.following(like) else {
            return Ok(true);
        };
        let most = self.shared.settings.batch_size;
        let limit = request.limit().min(most);
        let request =
            FollowRequest::new(request.after().to_vec(), limit).up_to_bytes(request.max_bytes());
        let queue = Arc::clone(&self.shared.queue);
        let claims = self
            .await_store(async { queue.follow(&request).await })
            .await?;
        let is_all = claims.len() < limit;
        if !claims.is_empty() {
            self.activity.note();
        }
        let lease = self.request(1, &[]).lease_for(&like.event_type);
        for claim in claims {
            self.take_on_follower(claim, lease);
        }
        Ok(is_all)
    }

    /// Accepts an event that follows one of a batch. Where that one went back meanwhile, so does
    /// this one.
    fn take_on_follower(&mut self, mut claim: Claim, lease: Duration) {
        let now = self.now();
        self.meter.claimed(&claim.event, now);
        self.leases.hold_granted(claim.lease, lease, now);
        self.promised.allow(&mut claim);
        if let Some(claim) = self.batches.add_follower(claim) {
            debug!(event_id = %claim.event.id, "its batch is gone; the event goes back");
            self.hand_back(&claim);
        }
    }

    /// Adds to the batches that wait what has come into their lanes since.
    pub(super) async fn follow_on(&mut self) -> Result<(), StoreError> {
        if self.batches.is_empty() || !self.may_claim() {
            return Ok(());
        }
        let revision = self.shared.queue.revision();
        if self.followed == Some(revision) {
            return Ok(());
        }
        for like in self.batches.in_order() {
            while !self.follow(&like.event).await? {}
        }
        self.followed = Some(revision);
        // Those that are full now.
        self.start_waiting();
        Ok(())
    }

    /// Settles events as not attempted that wait for one which is not delivered now.
    pub(super) fn hand_back_all(&mut self, claims: &[Arc<Claim>]) {
        for claim in claims {
            self.hand_back(claim);
        }
    }
}

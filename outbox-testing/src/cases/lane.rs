//! A lane, and leases of the events behind its first one, for the cases about following.

use super::helpers::{SECOND, Store, claim_one, create};
use crate::ManualClock;
use outbox_runtime::store::{Claim, Disposition, FollowRequest, Lease, Settled, Settlement};
use outbox_runtime::{Clock, NewEvent, Operation};

/// A change of this entity, as `helpers::event` but no creation.
pub(super) fn change(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

pub(super) async fn follow(store: Store<'_>, after: &[&Claim], limit: usize) -> Vec<Claim> {
    let after: Vec<Lease> = after.iter().map(|claim| claim.lease).collect();
    let request = FollowRequest::new(after, limit);
    store.follow(&request).await.unwrap()
}

pub(super) fn seqs(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.event.seq).collect()
}

/// Enqueues this many changes of entity 1 and leases all of them. `None` if the store leases only
/// the first one.
pub(super) async fn led(store: Store<'_>, count: usize) -> Option<Vec<Claim>> {
    for _ in 0..count {
        create(store, change(1)).await;
    }
    let first = claim_one(store).await;
    let followers = follow(store, &[&first], count).await;
    if !store.can_follow() {
        return None;
    }
    assert_eq!(followers.len(), count - 1, "all others follow");
    Some([vec![first], followers].concat())
}

/// Settles events in one call.
pub(super) async fn settle_all(store: Store<'_>, claims: &[Claim], dispositions: Vec<Disposition>) {
    let settlements = claims.iter().zip(dispositions);
    let settlements = settlements.map(|(claim, disposition)| Settlement {
        lease: claim.lease,
        disposition,
    });
    let settled = store.settle(settlements.collect()).await.unwrap();
    assert!(settled.iter().all(|it| *it == Settled::Recorded));
}

pub(super) fn failed(clock: &ManualClock) -> Disposition {
    Disposition::Fail {
        next_attempt_at: clock.now() + SECOND,
        message: "no".to_owned(),
    }
}

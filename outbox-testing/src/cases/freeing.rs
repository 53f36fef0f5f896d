//! Freeing: whatever ends a wait for a parent, and what does not.

use super::family::{JOURNAL, LONG, awaited, explain, journal, page};
use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, entities, event, fetch,
    settle,
};
use crate::ManualClock;
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Outcome};
use outbox_runtime::{
    Cancel, Clock, Coalesce, DeadReason, EntityId, Expiry, NewEvent, OnDead, OnExpiry, Operation,
    RetryPolicy, WaitsFor,
};

pub(super) async fn a_dead_parent_holds_back_the_children_that_hold(
    store: Store<'_>,
    _: &ManualClock,
) {
    let parent = create(store, journal(JOURNAL).with_on_dead(OnDead::Skip)).await;
    create(store, page(1)).await;
    create(store, page(2).with_on_dead(OnDead::Skip)).await;
    let held = claim_one(store).await;
    settle(store, &held, buried()).await;
    // One that is enqueued when its parent is dead waits alike.
    create(store, page(3)).await;
    create(store, page(4).with_on_dead(OnDead::Skip)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [2, 4]);
    for child in [1, 3] {
        let found = store.explain(&EntityId::from(child), None).await.unwrap();
        let WaitsFor::Decision {
            event_id, reason, ..
        } = found.waits_for.at_last()
        else {
            panic!("{found}");
        };
        assert_eq!((*event_id, *reason), (parent.id, DeadReason::Rejected));
        let text = found.to_string();
        let words = format!(
            "event {}, which creates journal {JOURNAL}; that event waits for a decision",
            parent.id
        );
        assert!(text.contains(&words), "{text}");
    }
    assert_eq!(store.reset_for_retry(&[parent.id]).await.unwrap(), 1);
    let again = claim_one(store).await;
    assert_eq!(again.event.id, parent.id);
    complete(store, &again).await;
    assert_eq!(entities(&claim(store, 9).await), [1, 3]);
}

pub(super) async fn a_parent_that_is_gone_frees_its_children(
    store: Store<'_>,
    clock: &ManualClock,
) {
    // Discarded.
    let dead = create(store, journal(JOURNAL)).await;
    create(store, page(1)).await;
    settle(store, &claim_one(store).await, buried()).await;
    assert!(claim(store, 9).await.is_empty());
    assert_eq!(store.discard(&[dead.id]).await.unwrap(), 1);
    complete(store, &claim_one(store).await).await;
    // Deleted.
    let deleted = create(store, journal(JOURNAL).with_delay(LONG)).await;
    create(store, page(2)).await;
    assert!(claim(store, 9).await.is_empty());
    assert!(store.delete_event(deleted.id).await.unwrap());
    complete(store, &claim_one(store).await).await;
    // Canceled.
    create(store, journal(JOURNAL).with_delay(LONG)).await;
    create(store, page(3)).await;
    assert!(claim(store, 9).await.is_empty());
    store.cancel(&Cancel::entity("u1", JOURNAL)).await.unwrap();
    complete(store, &claim_one(store).await).await;
    // Replaced by an event with its key.
    create(store, journal(JOURNAL).with_delay(LONG).with_key("k")).await;
    create(store, page(4)).await;
    assert!(claim(store, 9).await.is_empty());
    let other = event(50).with_key("k").with_delay(LONG);
    create(store, other).await;
    complete(store, &claim_one(store).await).await;
    // Expired, and dropped because it expired.
    for (child, on_expiry) in [(5, OnExpiry::Dead), (6, OnExpiry::Drop)] {
        create(store, journal(JOURNAL).with_expiry(Expiry::After(SECOND))).await;
        create(store, page(child)).await;
        clock.advance(SECOND);
        let held = claim_one(store).await;
        assert!(claim(store, 9).await.is_empty());
        let outcome = Outcome::Expired { on_expiry };
        let settlement = outcome.settle(&held, &RetryPolicy::default(), clock.now());
        settle(store, &held, settlement.disposition).await;
        let freed = claim_one(store).await;
        assert_eq!(freed.event.entity_id, EntityId::from(child));
        complete(store, &freed).await;
    }
}

pub(super) async fn a_retried_parent_does_not_hold_a_freed_child_back_again(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let skipping = |id| page(id).with_on_dead(OnDead::Skip);
    let sorted = |claims: &[Claim]| {
        let mut found = entities(claims);
        found.sort_unstable();
        found
    };
    let parent = create(store, journal(JOURNAL)).await;
    create(store, skipping(1)).await;
    create(store, skipping(2).with_delay(LONG)).await;
    create(store, page(3)).await;
    let held = claim_one(store).await;
    assert!(claim(store, 9).await.is_empty());
    settle(store, &held, buried()).await;
    // One that never waited, because its parent is dead. A claim that takes nothing decides so.
    create(store, skipping(4)).await;
    let of_nobody = ClaimRequest::new(9, LEASE).with_user("nobody");
    assert!(store.claim(&of_nobody).await.unwrap().is_empty());
    assert_eq!(store.reset_for_retry(&[parent.id]).await.unwrap(), 1);
    create(store, skipping(5)).await;
    for freed in [1, 4] {
        assert_eq!(awaited(store, freed).await, None, "{freed}");
    }
    for waiting in [3, 5] {
        assert_eq!(awaited(store, waiting).await, Some(parent.id), "{waiting}");
    }
    let claims = claim(store, 9).await;
    assert_eq!(sorted(&claims), [1, 4, JOURNAL]);
    for claim in &claims {
        if claim.event.id != parent.id {
            complete(store, claim).await;
            continue;
        }
        let failed = Disposition::Fail {
            next_attempt_at: clock.now() + 2 * LONG,
            message: "no".to_owned(),
        };
        settle(store, claim, failed).await;
    }
    // One that is due only now is free as well.
    assert!(claim(store, 9).await.is_empty());
    clock.advance(LONG);
    complete(store, &claim_one(store).await).await;
    assert_eq!(explain(store, 2).await, WaitsFor::Nothing);
    clock.advance(LONG);
    complete(store, &claim_one(store).await).await;
    let claims = claim(store, 9).await;
    assert_eq!(sorted(&claims), [3, 5]);
    for claim in &claims {
        complete(store, claim).await;
    }

    // An expired parent frees those that hold, too.
    let parent = journal(JOURNAL).with_expiry(Expiry::After(SECOND));
    let parent = create(store, parent).await;
    create(store, page(6)).await;
    clock.advance(SECOND);
    let held = claim_one(store).await;
    assert!(claim(store, 9).await.is_empty());
    let outcome = Outcome::Expired {
        on_expiry: OnExpiry::Dead,
    };
    let settlement = outcome.settle(&held, &RetryPolicy::default(), clock.now());
    settle(store, &held, settlement.disposition).await;
    assert_eq!(store.reset_for_retry(&[parent.id]).await.unwrap(), 1);
    create(store, page(7)).await;
    let claims = claim(store, 9).await;
    assert_eq!(sorted(&claims), [6, JOURNAL]);
    for claim in &claims {
        complete(store, claim).await;
    }
    assert_eq!(entities(&claim(store, 9).await), [7]);
}

pub(super) async fn a_creation_that_cancels_out_frees_its_children(
    store: Store<'_>,
    _: &ManualClock,
) {
    let change = |operation| {
        NewEvent::new("journal", JOURNAL, "u1", operation).with_coalesce(Coalesce::Latest)
    };
    create(store, change(Operation::Create)).await;
    create(store, page(1)).await;
    create(store, change(Operation::Delete)).await;
    let claims = claim(store, 9).await;
    // A store that cannot know whether the service has the journal sends both of its events.
    if entities(&claims) == [JOURNAL] {
        complete(store, &claims[0]).await;
        assert!(entities(&claim(store, 9).await).contains(&1));
    } else {
        assert_eq!(entities(&claims), [1]);
    }
}

pub(super) async fn a_crash_of_the_handler_of_a_parent_frees_nobody(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let parent = create(store, journal(JOURNAL).with_max_attempts(1)).await;
    create(store, page(1)).await;
    create(store, page(2).with_on_dead(OnDead::Skip)).await;
    let held = claim_one(store).await;
    clock.advance(LEASE);
    store.rescue().await.unwrap();
    let dead = fetch(store, &parent).await;
    assert_eq!(dead.dead_reason, Some(DeadReason::CrashLoop));
    assert_eq!(entities(&claim(store, 9).await), [2]);
    let lost = settle(store, &held, Disposition::Complete).await;
    assert_eq!(lost, outbox_runtime::store::Settled::LeaseLost);
    assert!(claim(store, 9).await.is_empty());
}

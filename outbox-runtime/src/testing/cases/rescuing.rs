//! What becomes of work whose lease ended, and of the dead.

use chrono::TimeDelta;

use super::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, settle,
};
use crate::clock::Clock;
use crate::event::{DeadReason, OutboxStatus};
use crate::outcome::Disposition;
use crate::repository::Rescued;
use crate::testing::ManualClock;

pub async fn a_rescue_makes_events_of_the_dead_claimable_again(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let _ = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    assert!(claim(store, 1).await.is_empty());
    clock.advance(SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Failed);
    assert_eq!(stored.attempt_count, 1, "a crash uses up an attempt");
    assert_eq!(claim_one(store).await.event.attempt_count, 2);
}

pub async fn a_rescue_buries_what_has_used_up_its_attempts(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1).with_max_attempts(2)).await;
    for _ in 0..2 {
        let _ = claim_one(store).await;
        clock.advance(LEASE);
        let _ = store.rescue().await.unwrap();
    }
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Dead);
    assert_eq!(stored.dead_reason, Some(DeadReason::AttemptsExhausted));
    assert!(stored.error_message.is_some());
    assert!(claim(store, 1).await.is_empty());
}

pub async fn a_rescue_leaves_live_leases_alone(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let _dead = claim_one(store).await;
    clock.advance(SECOND);
    let live = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    complete(store, &live).await;
}

/// A clock that somebody sets back while events are claimed, due and behind others.
const SET_BACK: TimeDelta = TimeDelta::hours(1);

pub async fn a_clock_that_is_set_back_prolongs_no_lease(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    let _dead = claim_one(store).await;
    clock.set(clock.now() - SET_BACK);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    clock.advance(SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    assert_eq!(claim_one(store).await.event.id, created.id);
}

pub async fn a_lease_that_is_renewed_after_the_clock_was_set_back_holds(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1)).await;
    let live = claim_one(store).await;
    clock.set(clock.now() - SET_BACK);
    let renewed = store.extend(&[live.lease], LEASE).await.unwrap();
    assert!(renewed[0].is_some());
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    complete(store, &live).await;
}

pub async fn a_clock_that_is_set_back_holds_up_nothing_that_was_due(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.set(clock.now() - SET_BACK);
    let given_back = Disposition::GiveBack {
        next_attempt_at: None,
    };
    settle(store, &claimed, given_back).await;
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.id, first.id);
    complete(store, &claimed).await;
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub async fn a_reset_gives_a_dead_event_all_its_attempts(store: Store<'_>, clock: &ManualClock) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let done = create(store, event(2)).await;
    let claims = claim(store, 2).await;
    settle(store, &claims[0], buried()).await;
    complete(store, &claims[1]).await;
    clock.advance(SECOND);
    let ids = [first.id, second.id, done.id];
    assert_eq!(store.reset_for_retry(&ids).await.unwrap(), 1);
    let stored = fetch(store, &first).await;
    assert_eq!(stored.status, OutboxStatus::Pending);
    assert_eq!(stored.attempt_count, 0);
    assert_eq!((stored.dead_reason, stored.error_message), (None, None));
    assert_eq!(stored.next_attempt_at, clock.now());
    let claims = claim(store, 9).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.id, first.id, "order is kept");
}

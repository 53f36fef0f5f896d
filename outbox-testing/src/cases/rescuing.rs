//! Rescue: claimed events whose lease has ended, and the effect of clocks that are set back.

use chrono::TimeDelta;

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, given_back,
    settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Disposition, Rescued, Settled};
use outbox_runtime::{Clock, DeadReason, OutboxEvent, OutboxStatus, Refusal, RefusalClass};

pub(super) async fn a_rescue_makes_events_of_dead_workers_claimable_again(
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
    assert_eq!(stored.status, OutboxStatus::Pending);
    assert_eq!(stored.attempt_count, 0, "a crash uses up no attempt");
    assert_eq!(stored.crashes, 1, "it is counted separately");
    assert_eq!(stored.next_attempt_at, clock.now());
    assert!(stored.error_message.is_some(), "the message reports it");
    assert_eq!(claim_one(store).await.event.attempt_count, 1);
}

pub(super) async fn a_rescue_keeps_the_status_of_an_event_that_failed_before(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    settle(store, &claim_one(store).await, failed).await;
    let _ = claim_one(store).await;
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Failed);
    assert_eq!((stored.attempt_count, stored.crashes), (1, 1));
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.failed_count, statistics.pending_count), (1, 0));
}

pub(super) async fn a_rescue_buries_an_event_at_its_crash_limit(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1).with_max_attempts(2)).await;
    for buried in [0, 1] {
        let _ = claim_one(store).await;
        clock.advance(LEASE);
        let rescued = store.rescue().await.unwrap();
        assert_eq!(rescued, Rescued::new(1 - buried, buried));
    }
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Dead);
    assert_eq!(stored.dead_reason, Some(DeadReason::CrashLoop));
    assert_eq!((stored.attempt_count, stored.crashes), (0, 2));
    assert!(stored.error_message.is_some());
    assert!(claim(store, 1).await.is_empty());
    assert_eq!(store.statistics(None).await.unwrap().dead_count, 1);
}

pub(super) async fn every_outcome_resets_the_crash_count(store: Store<'_>, clock: &ManualClock) {
    let now = clock.now();
    let refusal = Refusal::new(RefusalClass::Timeout, "30 s");
    let again = [
        given_back(Some(now)),
        Disposition::GiveBack {
            next_attempt_at: None,
            refusal: Some(refusal.clone()),
        },
        Disposition::Defer {
            next_attempt_at: now,
            refusal,
        },
        Disposition::Snooze {
            next_attempt_at: now,
        },
        Disposition::Fail {
            next_attempt_at: now,
            message: "no".to_owned(),
        },
    ];
    let created = create(store, event(1).with_max_attempts(2)).await;
    for disposition in again {
        let _ = claim_one(store).await;
        clock.advance(LEASE);
        assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.crashes, 1);
        settle(store, &claimed, disposition.clone()).await;
        let stored = fetch(store, &created).await;
        assert_eq!(stored.crashes, 0, "after {disposition:?}");
    }
    for (entity, disposition) in [(2, Disposition::Complete), (3, buried())] {
        let created = create(store, event(entity).with_priority(9)).await;
        let _ = claim_one(store).await;
        clock.advance(LEASE);
        assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
        settle(store, &claim_one(store).await, disposition).await;
        assert_eq!(fetch(store, &created).await.crashes, 0);
    }
}

pub(super) async fn a_rescue_leaves_live_leases_alone(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let _dead = claim_one(store).await;
    clock.advance(SECOND);
    let live = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    complete(store, &live).await;
}

/// Sets the clock back while events are claimed, due and waiting.
const SET_BACK: TimeDelta = TimeDelta::hours(1);

pub(super) async fn setting_the_clock_back_prolongs_no_lease(
    store: Store<'_>,
    clock: &ManualClock,
) {
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

pub(super) async fn a_lease_renewed_after_the_clock_was_set_back_is_valid(
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

pub(super) async fn setting_the_clock_back_delays_no_due_event(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.set(clock.now() - SET_BACK);
    settle(store, &claimed, given_back(None)).await;
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.id, first.id);
    complete(store, &claimed).await;
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub(super) async fn a_reset_gives_a_dead_event_all_its_attempts(
    store: Store<'_>,
    clock: &ManualClock,
) {
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

pub(super) async fn a_reset_clears_all_counts_against_an_event(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let refusal = Refusal::new(RefusalClass::Offline, "no route");
    let next_attempt_at = clock.now();
    let answers = [
        Disposition::Defer {
            next_attempt_at,
            refusal,
        },
        Disposition::Snooze { next_attempt_at },
        Disposition::Fail {
            next_attempt_at,
            message: "no".to_owned(),
        },
    ];
    for disposition in answers {
        settle(store, &claim_one(store).await, disposition).await;
    }
    let _ = claim_one(store).await;
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    let before = fetch(store, &created).await;
    let counts = |event: &OutboxEvent| {
        let OutboxEvent {
            attempt_count,
            deferrals,
            snoozes,
            crashes,
            ..
        } = *event;
        [attempt_count, deferrals, snoozes, crashes]
    };
    assert_eq!(counts(&before), [1, 1, 1, 1]);
    assert!(before.deferred_since.is_some() && before.last_refusal.is_some());
    assert_eq!(store.reset_for_retry(&[created.id]).await.unwrap(), 1);
    let stored = fetch(store, &created).await;
    assert_eq!(counts(&stored), [0, 0, 0, 0]);
    assert_eq!((stored.deferred_since, stored.last_refusal), (None, None));
}

pub(super) async fn a_rescuing_worker_keeps_its_own_leases(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let claims = claim(store, 2).await;
    clock.advance(LEASE);
    let held = [(claims[0].lease, 2 * LEASE)];
    let (renewed, rescued) = store.rescue_others(&held, None).await.unwrap();
    let ends: Vec<_> = renewed
        .iter()
        .map(|lease| lease.map(|lease| lease.expires_at))
        .collect();
    assert_eq!(ends, [Some(after(clock.now(), 2 * LEASE))]);
    assert_eq!(rescued.requeued, 1, "the lease that is not held");
    complete(store, &claims[0]).await;
    let settled = settle(store, &claims[1], Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost);

    // The answers have the order of the request, with the unknown lease in the middle.
    for entity in 3..=5 {
        create(store, event(entity)).await;
    }
    let claims = claim(store, 4).await;
    complete(store, &claims[1]).await;
    let held: Vec<_> = claims[..3]
        .iter()
        .rev()
        .map(|claim| (claim.lease, LEASE))
        .collect();
    clock.advance(LEASE);
    let (renewed, _) = store.rescue_others(&held, None).await.unwrap();
    let renewed: Vec<_> = renewed
        .iter()
        .map(|lease| lease.map(|lease| lease.event_id))
        .collect();
    let expected = [Some(claims[2].event.id), None, Some(claims[0].event.id)];
    assert_eq!(renewed, expected);
}

pub(super) async fn a_rescue_limited_to_some_leases_leaves_the_others(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let claims = claim(store, 2).await;
    clock.advance(LEASE);
    let only = [claims[1].lease];
    let (renewed, rescued) = store.rescue_others(&[], Some(&only)).await.unwrap();
    assert_eq!(renewed, []);
    assert!(rescued.requeued <= 1, "a store may leave it for later");
    let extended = store.extend(&[claims[0].lease], LEASE).await.unwrap();
    assert!(extended[0].is_some(), "no other worker has claimed it");
    complete(store, &claims[0]).await;
}

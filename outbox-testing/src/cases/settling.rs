//! Outcomes of attempts, and the leases under which they are recorded.

use std::time::Duration;

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, entities, event, fetch,
    given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Disposition, LeaseToken, Rescued, Settled};
use outbox_runtime::{Clock, DeadReason, OutboxStatus, Refusal, RefusalClass};

pub(super) async fn a_delivery_is_recorded_and_unblocks_the_next_event(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    assert!(claim(store, 1).await.is_empty());
    complete(store, &claimed).await;
    let done = fetch(store, &first).await;
    assert_eq!(done.status, OutboxStatus::Completed);
    assert_eq!(done.completed_at, Some(clock.now()));
    assert_eq!((done.lease_token, done.lease_expires_at), (None, None));
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub(super) async fn a_failure_is_due_again_at_its_time(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    let due = after(clock.now(), SECOND);
    let failed = Disposition::Fail {
        next_attempt_at: due,
        message: "server said 503".to_owned(),
    };
    assert_eq!(settle(store, &claimed, failed).await, Settled::Recorded);
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Failed);
    assert_eq!(stored.next_attempt_at, due);
    assert_eq!(stored.attempt_count, 1);
    assert_eq!(stored.error_message.as_deref(), Some("server said 503"));
    clock.advance(SECOND - Duration::from_millis(1));
    assert!(claim(store, 1).await.is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(claim_one(store).await.event.attempt_count, 2);
}

pub(super) async fn a_dead_event_blocks_the_events_behind_it(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    create(store, event(1)).await;
    create(store, event(2).with_priority(-1)).await;
    let claimed = claim_one(store).await;
    settle(store, &claimed, buried()).await;
    let dead = fetch(store, &first).await;
    assert_eq!(dead.status, OutboxStatus::Dead);
    assert_eq!(dead.dead_reason, Some(DeadReason::Rejected));
    assert_eq!(entities(&claim(store, 9).await), [2]);
    // A later event waits as well.
    create(store, event(1)).await;
    assert!(claim(store, 9).await.is_empty());
}

pub(super) async fn giving_an_event_back_returns_its_attempt_and_keeps_its_place(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    clock.advance(SECOND);
    create(store, event(2)).await;
    let claimed = claim_one(store).await;
    settle(store, &claimed, given_back(None)).await;
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Pending);
    assert_eq!(stored.attempt_count, 0);
    assert_eq!(stored.next_attempt_at, created.next_attempt_at);

    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.id, created.id);
    let later = after(clock.now(), SECOND);
    settle(store, &claimed, given_back(Some(later))).await;
    assert_eq!(fetch(store, &created).await.next_attempt_at, later);
    assert_eq!(entities(&claim(store, 9).await), [2]);
}

pub(super) async fn a_refusal_is_kept_until_the_next_one(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    let refused = |class, message: &str| Disposition::GiveBack {
        next_attempt_at: None,
        refusal: Some(Refusal::new(class, message)),
    };
    let answers = [
        (
            refused(RefusalClass::Timeout, "no answer: 30 s"),
            "timeout: no answer: 30 s",
        ),
        (given_back(None), "timeout: no answer: 30 s"),
        (refused(RefusalClass::RateLimited, ""), "rate_limited: "),
    ];
    for (disposition, expected) in answers {
        settle(store, &claim_one(store).await, disposition).await;
        let stored = fetch(store, &created).await;
        let kept = stored.last_refusal.map(|refusal| refusal.to_string());
        assert_eq!(kept.as_deref(), Some(expected));
        assert_eq!((stored.attempt_count, stored.deferrals), (0, 0));
        assert_eq!(stored.next_attempt_at, created.next_attempt_at);
        assert_eq!(stored.error_message, None, "only failures set it");
    }
    let claimed = claim_one(store).await;
    assert!(claimed.event.last_refusal.is_some());
    let later = after(clock.now(), SECOND);
    let disposition = Disposition::GiveBack {
        next_attempt_at: Some(later),
        refusal: Some(Refusal::new(RefusalClass::Panic, "oh: no")),
    };
    settle(store, &claimed, disposition).await;
    let stored = fetch(store, &created).await;
    assert_eq!(stored.next_attempt_at, later);
    let refusal = Refusal::new(RefusalClass::Panic, "oh: no");
    assert_eq!(stored.last_refusal, Some(refusal));
}

pub(super) async fn deferrals_are_counted_and_keep_the_last_refusal(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    create(store, event(1)).await;
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    let mut since = None;
    for deferrals in 1..=3 {
        let later = after(clock.now(), SECOND);
        let refusal = Refusal::new(RefusalClass::Unavailable, format!("{deferrals}"));
        let disposition = Disposition::Defer {
            next_attempt_at: later,
            refusal: refusal.clone(),
        };
        since = since.or(Some(clock.now()));
        settle(store, &claim_one(store).await, disposition).await;
        let stored = fetch(store, &created).await;
        // The state before the claim: the event failed once after the first deferral.
        let (status, attempts) = match deferrals {
            1 => (OutboxStatus::Pending, 0),
            _ => (OutboxStatus::Failed, 1),
        };
        assert_eq!((stored.status, stored.attempt_count), (status, attempts));
        assert_eq!(
            (stored.deferrals, stored.deferred_since),
            (deferrals, since)
        );
        assert_eq!(stored.last_refusal, Some(refusal));
        assert_eq!(stored.next_attempt_at, later);
        assert!(
            claim(store, 9).await.is_empty(),
            "the events behind it wait"
        );
        assert_eq!(store.statistics(None).await.unwrap().deferred, 1);
        clock.advance(SECOND);
        if deferrals == 1 {
            settle(store, &claim_one(store).await, failed.clone()).await;
        }
    }
    complete(store, &claim_one(store).await).await;
    let stored = fetch(store, &created).await;
    assert_eq!((stored.deferrals, stored.deferred_since), (3, since));
    assert_eq!(store.statistics(None).await.unwrap().deferred, 0);
    assert_eq!(store.statistics(Some("u1")).await.unwrap().deferred, 0);
}

pub(super) async fn a_snooze_is_counted_and_due_later(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    for snoozes in 1..=10 {
        let later = after(clock.now(), SECOND);
        let disposition = Disposition::Snooze {
            next_attempt_at: later,
        };
        settle(store, &claim_one(store).await, disposition).await;
        let stored = fetch(store, &created).await;
        assert_eq!(stored.status, OutboxStatus::Pending);
        assert_eq!((stored.attempt_count, stored.snoozes), (0, snoozes));
        assert_eq!((stored.deferrals, stored.last_refusal), (0, None));
        assert_eq!(stored.next_attempt_at, later);
        assert!(claim(store, 9).await.is_empty());
        for (user, often) in [(None, 1), (Some("u1"), 1), (Some("u2"), 0)] {
            let statistics = store.statistics(user).await.unwrap();
            let expected = if snoozes < 10 { 0 } else { often };
            assert_eq!(statistics.snoozed_often, expected, "{snoozes}, {user:?}");
        }
        clock.advance(SECOND);
    }
    settle(store, &claim_one(store).await, buried()).await;
    assert_eq!(fetch(store, &created).await.snoozes, 10);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.snoozed_often, statistics.dead_count), (0, 1));
}

pub(super) async fn an_outcome_after_the_lease_ended_is_not_recorded(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.advance(LEASE);
    for disposition in [Disposition::Complete, buried()] {
        let settled = settle(store, &claimed, disposition).await;
        assert_eq!(settled, Settled::LeaseLost);
    }
    assert_eq!(
        fetch(store, &created).await.status,
        OutboxStatus::Processing
    );
}

pub(super) async fn an_outcome_under_an_older_claim_is_not_recorded(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let old = claim_one(store).await;
    clock.advance(LEASE);
    let _ = store.rescue().await.unwrap();
    let new = claim_one(store).await;
    assert_ne!(old.lease.token, new.lease.token);
    let settled = settle(store, &old, Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost);
    assert_eq!(fetch(store, &created).await, new.event);
    complete(store, &new).await;
    let settled = settle(store, &new, Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost, "an outcome is recorded once");
}

pub(super) async fn an_extended_lease_ends_later(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    let extended = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(extended[0].unwrap().expires_at, after(clock.now(), LEASE));
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    complete(store, &claimed).await;
}

pub(super) async fn a_lost_lease_cannot_be_extended(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let claims = claim(store, 2).await;
    complete(store, &claims[0]).await;
    let mut stolen = claims[1].lease;
    stolen.token = LeaseToken::random();
    let leases = [claims[0].lease, stolen, claims[1].lease];
    let extended = store.extend(&leases, LEASE).await.unwrap();
    assert_eq!(
        extended.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, true]
    );
    clock.advance(LEASE);
    let _ = store.rescue().await.unwrap();
    let extended = store.extend(&[claims[1].lease], LEASE).await.unwrap();
    assert_eq!(extended, [None], "it was taken back");
}

pub(super) async fn an_ended_lease_stays_with_its_holder_until_it_is_taken(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.advance(LEASE + SECOND);
    let extended = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(extended[0].unwrap().expires_at, after(clock.now(), LEASE));
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    complete(store, &claimed).await;
}

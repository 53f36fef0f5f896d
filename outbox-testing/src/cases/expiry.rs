//! Expiry: events that are no longer worth sending after a time.

use chrono::{DateTime, Utc};

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Outcome, Settled};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, EntityId, Expiry, NewEvent, OnDead, OnExpiry, Operation,
    OutboxStatus, RetryPolicy, WaitsFor,
};

fn within(event: NewEvent, seconds: u32) -> NewEvent {
    event.with_expiry(Expiry::After(SECOND * seconds))
}

fn expired(claim: &Claim, on_expiry: OnExpiry, now: DateTime<Utc>) -> Disposition {
    let outcome = Outcome::Expired { on_expiry };
    outcome
        .settle(claim, &RetryPolicy::default(), now)
        .disposition
}

pub(super) async fn an_expiry_stays_with_its_event(store: Store<'_>, clock: &ManualClock) {
    let end = after(clock.now(), SECOND * 90);
    let by_duration = create(store, within(event(1), 90)).await;
    let by_time = create(store, event(2).with_expiry(Expiry::At(end))).await;
    let never = create(store, event(3)).await;
    let expiries = [&by_duration, &by_time, &never].map(|event| event.expires_at);
    assert_eq!(expiries, [Some(end), Some(end), None]);
    let claims = claim(store, 9).await;
    let found: Vec<_> = claims.iter().map(|it| it.event.expires_at).collect();
    assert_eq!(found, expiries);
    complete(store, &claims[0]).await;
    assert_eq!(fetch(store, &by_duration).await.expires_at, Some(end));
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    settle(store, &claims[1], failed).await;
    let mut edited = fetch(store, &by_time).await;
    assert_eq!(edited.expires_at, Some(end));
    edited.expires_at = Some(after(end, SECOND));
    store.update_event(&edited).await.unwrap();
    assert_eq!(fetch(store, &by_time).await.expires_at, edited.expires_at);
    let mut late = fetch(store, &by_time).await;
    late.next_attempt_at = after(end, SECOND * 2);
    let refused = store.update_event(&late).await.unwrap_err();
    assert!(refused.to_string().contains("expires"), "{refused}");
}

pub(super) async fn an_event_is_due_when_it_expires_at_the_latest(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let now = clock.now();
    let delayed = within(event(1).with_delay(SECOND * 600), 60);
    let delayed = create(store, delayed).await;
    assert_eq!(delayed.next_attempt_at, after(now, SECOND * 60));
    let request = ClaimRequest::new(9, LEASE);
    let due = store.next_due(&request).await.unwrap();
    assert_eq!(due, Some(after(now, SECOND * 60)));
    let past = event(2).with_expiry(Expiry::At(DateTime::UNIX_EPOCH));
    let past = create(store, past).await;
    assert_eq!(past.next_attempt_at, now);
    assert_eq!(
        claim_one(store).await.event.id,
        past.id,
        "its worker ends it"
    );
    clock.advance(SECOND * 60);
    assert_eq!(claim_one(store).await.event.id, delayed.id);
}

pub(super) async fn an_expired_event_is_dead_and_frees_its_lane(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let front = create(store, within(event(1), 60)).await;
    let behind = create(store, event(1)).await;
    clock.advance(SECOND * 61);
    let found = store.explain(&EntityId::from(1), None).await.unwrap();
    let expired_at = front.expires_at.unwrap();
    assert_eq!(found.waits_for, WaitsFor::Expiry { at: expired_at });
    assert!(found.to_string().contains("expired at"), "{found}");
    let claimed = claim_one(store).await;
    let disposition = expired(&claimed, OnExpiry::Dead, clock.now());
    assert_eq!(
        settle(store, &claimed, disposition).await,
        Settled::Recorded
    );
    let dead = fetch(store, &front).await;
    assert_eq!(dead.status, OutboxStatus::Dead);
    assert_eq!(dead.dead_reason, Some(DeadReason::Expired));
    let message = dead.error_message.unwrap_or_default();
    assert!(message.starts_with("it expired at "), "{message}");
    assert_eq!(claim_one(store).await.event.id, behind.id);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.dead_count, statistics.processing_count), (1, 1));
}

pub(super) async fn a_retried_event_that_had_expired_holds_its_lane_as_before(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for on_dead in [OnDead::Hold, OnDead::Skip] {
        let front = create(store, within(event(1).with_on_dead(on_dead), 60)).await;
        clock.advance(SECOND * 61);
        let claimed = claim_one(store).await;
        let disposition = expired(&claimed, OnExpiry::Dead, clock.now());
        settle(store, &claimed, disposition).await;
        let dead = fetch(store, &front).await;
        assert!(!dead.is_open(), "an expired event blocks no other");
        store.reset_for_retry(&[front.id]).await.unwrap();
        assert_eq!(fetch(store, &front).await.on_dead, on_dead);
        let behind = create(store, event(1)).await;
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, front.id);
        settle(store, &claimed, buried()).await;
        let dead = fetch(store, &front).await;
        assert_eq!(dead.is_open(), on_dead == OnDead::Hold);
        let next = claim(store, 1).await;
        let ids: Vec<_> = next.iter().map(|claim| claim.event.id).collect();
        match on_dead == OnDead::Hold {
            true => assert!(ids.is_empty(), "it was rejected, and not late"),
            false => assert_eq!(ids, [behind.id]),
        }
        for event in [front, behind] {
            assert!(store.delete_event(event.id).await.unwrap());
        }
    }
}

pub(super) async fn an_event_whose_expiry_is_moved_is_due_when_it_would_have_expired(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let delayed = within(event(1).with_delay(SECOND * 600), 60);
    let delayed = create(store, delayed).await;
    let mut edited = delayed.clone();
    edited.expires_at = Some(after(clock.now(), SECOND * 3_600));
    store.update_event(&edited).await.unwrap();
    let stored = fetch(store, &delayed).await;
    // The store does not know what it was to wait for. An editor who does names a due time.
    assert_eq!(stored.next_attempt_at, delayed.next_attempt_at);
    assert_eq!(claim(store, 1).await.len(), 0);
    clock.advance(SECOND * 60);
    let claimed = claim_one(store).await;
    assert!(!claimed.event.is_expired(clock.now()));
    let failed = Disposition::Fail {
        next_attempt_at: after(clock.now(), SECOND * 600),
        message: "no".to_owned(),
    };
    settle(store, &claimed, failed).await;
    let waiting = fetch(store, &delayed).await;
    assert_eq!(waiting.next_attempt_at, after(clock.now(), SECOND * 600));
}

pub(super) async fn a_dropped_event_is_gone_and_frees_its_lane(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let front = create(store, within(event(1), 60)).await;
    let behind = create(store, event(1)).await;
    clock.advance(SECOND * 61);
    let claimed = claim_one(store).await;
    let disposition = expired(&claimed, OnExpiry::Drop, clock.now());
    assert_eq!(disposition, Disposition::Drop);
    assert_eq!(
        settle(store, &claimed, disposition).await,
        Settled::Recorded
    );
    assert_eq!(store.fetch_event(front.id).await.unwrap(), None);
    assert_eq!(claim_one(store).await.event.id, behind.id);
    assert_eq!(store.statistics(None).await.unwrap().dead_count, 0);
}

pub(super) async fn nothing_is_put_off_beyond_the_expiry(store: Store<'_>, clock: &ManualClock) {
    let policy = RetryPolicy::default();
    let hour = SECOND * 3_600;
    let outcomes = [
        Outcome::Retry {
            message: "no".to_owned(),
            not_before: Some(hour),
        },
        Outcome::Snoozed {
            delay: hour,
            bound: None,
        },
        Outcome::GivenBack {
            delay: hour,
            refusal: None,
        },
    ];
    for (entity, outcome) in outcomes.into_iter().enumerate() {
        let event = create(store, within(event(entity as i64), 60)).await;
        let claimed = claim_one(store).await;
        let settlement = outcome.settle(&claimed, &policy, clock.now());
        store.settle(vec![settlement]).await.unwrap();
        let waiting = fetch(store, &event).await;
        assert_eq!(Some(waiting.next_attempt_at), event.expires_at);
        clock.advance(SECOND * 60);
        let again = claim_one(store).await;
        assert!(again.event.is_expired(clock.now()));
        settle(store, &again, buried()).await;
    }
}

pub(super) async fn a_retried_event_has_no_expiry_that_has_passed(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let past = create(store, within(event(1), 60)).await;
    let future = create(store, within(event(2), 600)).await;
    for claimed in claim(store, 9).await {
        settle(store, &claimed, buried()).await;
    }
    clock.advance(SECOND * 61);
    store.reset_for_retry(&[past.id, future.id]).await.unwrap();
    assert_eq!(fetch(store, &past).await.expires_at, None);
    assert_eq!(fetch(store, &future).await.expires_at, future.expires_at);
}

pub(super) async fn an_event_that_expires_takes_no_part_in_coalescing(
    store: Store<'_>,
    _: &ManualClock,
) {
    let update =
        || NewEvent::new("draft", 1, "u1", Operation::Update).with_coalesce(Coalesce::Latest);
    let ids = [
        create(store, within(update(), 60)).await.id,
        create(store, update()).await.id,
        create(store, within(update(), 60)).await.id,
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

pub(super) async fn setting_the_clock_back_delays_no_event_that_expires(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let event = create(store, within(event(1), 60)).await;
    clock.set(outbox_runtime::__private::clock::before(
        clock.now(),
        SECOND * 600,
    ));
    let claimed = claim_one(store).await;
    assert!(!claimed.event.is_expired(clock.now()));
    assert_eq!(claimed.event.expires_at, event.expires_at);
}

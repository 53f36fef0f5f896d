//! The events that a claim takes, their order, and the events that it leaves alone.

use std::time::Duration;

use super::helpers::{
    LEASE, SECOND, Store, claim, claim_one, complete, create, entities, event, fetch, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{ClaimRequest, Disposition, EventTypes};
use outbox_runtime::{Clock, NewEvent, Operation, OutboxStatus, Refusal, RefusalClass};

pub(super) async fn claims_are_ordered_by_priority_then_due_time_then_seq(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1).with_delay(SECOND)).await;
    create(store, event(2)).await;
    create(store, event(3)).await;
    create(store, event(4).with_priority(-1)).await;
    create(store, event(5).with_priority(9).with_delay(SECOND)).await;
    clock.advance(SECOND);
    assert_eq!(entities(&claim(store, 9).await), [5, 2, 3, 1, 4]);
}

pub(super) async fn a_claim_takes_only_the_first_event_of_each_entity(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = create(store, event(1)).await;
    create(store, event(1).with_priority(99)).await;
    create(store, event(2)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [1, 2]);
    assert_eq!(claims[0].event.id, first.id);
    assert!(claim(store, 9).await.is_empty());
}

pub(super) async fn entities_of_two_users_with_the_same_id_do_not_wait_for_each_other(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, NewEvent::new("note", 1, "u2", Operation::Create)).await;
    assert_eq!(claim(store, 9).await.len(), 2);
}

pub(super) async fn a_claim_is_exclusive(store: Store<'_>, _: &ManualClock) {
    for entity in 0..10 {
        create(store, event(entity)).await;
    }
    let (a, b) = tokio::join!(claim(store, 7), claim(store, 7));
    // A claim may leave out what another one looks at in that moment.
    let left = claim(store, 10).await;
    let mut all = entities(&a);
    all.extend(entities(&b));
    all.extend(entities(&left));
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..10));
}

pub(super) async fn a_claim_returns_the_event_as_stored(store: Store<'_>, clock: &ManualClock) {
    let created = event(1)
        .with_destination("eu")
        .with_priority(3)
        .with_metadata_version(2);
    let created = create(store, created).await;
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event, fetch(store, &created).await);
    assert_eq!(claimed.event.destination.as_deref(), Some("eu"));
    let later = after(clock.now(), SECOND);
    let snooze = Disposition::Snooze {
        next_attempt_at: later,
    };
    settle(store, &claimed, snooze).await;
    clock.advance(SECOND);
    let defer = Disposition::Defer {
        next_attempt_at: after(clock.now(), SECOND),
        refusal: Refusal::new(RefusalClass::Unavailable, "busy".to_owned()),
    };
    settle(store, &claim_one(store).await, defer).await;
    clock.advance(SECOND);
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event, fetch(store, &created).await);
    assert_eq!((claimed.event.snoozes, claimed.event.deferrals), (1, 1));
    assert!(claimed.event.last_refusal.is_some() && claimed.event.deferred_since.is_some());
}

pub(super) async fn a_claim_counts_the_attempt(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    clock.advance(SECOND);
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event, fetch(store, &created).await);
    assert_eq!(claimed.event.status, OutboxStatus::Processing);
    assert_eq!(claimed.event.attempt_count, 1);
    assert_eq!(claimed.event.last_attempt_at, Some(clock.now()));
    assert_eq!(claimed.lease.expires_at, after(clock.now(), LEASE));
    assert_eq!(
        claimed.event.lease_expires_at,
        Some(claimed.lease.expires_at)
    );
    assert_eq!(
        claimed.event.lease_token,
        Some(claimed.lease.token.as_uuid())
    );
}

pub(super) async fn a_claim_takes_the_lease_of_each_event_type(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for event_type in ["note", "upload", "call"] {
        create(
            store,
            NewEvent::new(event_type, 1, event_type, Operation::Create),
        )
        .await;
    }
    let request = ClaimRequest::new(9, LEASE)
        .with_lease_for("upload", 10 * LEASE)
        .with_lease_for("call", SECOND);
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims.len(), 3);
    for (claim, lease) in claims.iter().zip([LEASE, 10 * LEASE, SECOND]) {
        let ends = after(clock.now(), lease);
        assert_eq!(claim.lease.expires_at, ends, "{}", claim.event.event_type);
        assert_eq!(claim.event, fetch(store, &claim.event).await);
        assert_eq!(claim.event.lease_expires_at, Some(ends));
    }
    let [note, upload, call] = &claims[..] else {
        unreachable!("there are three");
    };
    clock.advance(SECOND);
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    assert_eq!(fetch(store, &call.event).await.lease_token, None);
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    assert_eq!(fetch(store, &note.event).await.lease_token, None);
    complete(store, upload).await;
}

pub(super) async fn a_claim_for_one_user_takes_nothing_of_another(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, NewEvent::new("note", 2, "u2", Operation::Create)).await;
    create(store, NewEvent::new("note", 3, "u3", Operation::Create)).await;
    let of_u2 = ClaimRequest::new(9, LEASE).with_user("u2");
    assert_eq!(entities(&store.claim(&of_u2).await.unwrap()), [2]);
    let not_u1 = ClaimRequest::new(9, LEASE).without_users(vec!["u1".to_owned()]);
    assert_eq!(entities(&store.claim(&not_u1).await.unwrap()), [3]);
}

pub(super) async fn a_claim_leaves_other_event_types_alone(store: Store<'_>, _: &ManualClock) {
    let note = create(store, event(1)).await;
    let other = NewEvent::new("other", 2, "u1", Operation::Create);
    let other = create(store, other).await;
    let only = |types| ClaimRequest::new(9, LEASE).with_event_types(types);
    let none = only(EventTypes::Only(vec![]));
    assert!(store.claim(&none).await.unwrap().is_empty());
    let request = only(EventTypes::Only(vec!["other".to_owned()]));
    assert_eq!(entities(&store.claim(&request).await.unwrap()), [2]);
    assert_eq!(fetch(store, &note).await, note);
    let request = only(EventTypes::AllExcept(vec!["note".to_owned()]));
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(fetch(store, &other).await.attempt_count, 1);
}

pub(super) async fn a_delayed_event_is_not_claimed_before_it_is_due(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1).with_delay(SECOND)).await;
    clock.advance(SECOND - Duration::from_millis(1));
    assert!(claim(store, 1).await.is_empty());
    clock.advance(Duration::from_millis(1));
    let _ = claim_one(store).await;
}

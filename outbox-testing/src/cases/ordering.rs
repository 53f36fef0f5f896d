//! The events that wait for each other, and the effect of a dead event on those behind it.

use uuid::Uuid;

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, entities, event, fetch,
    given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Claim, Disposition, Rescued, Settled};
use outbox_runtime::{
    Clock, DeadReason, EntityId, NewEvent, OnDead, Operation, Order, OutboxStatus, StoreErrorKind,
    WaitsFor,
};

fn ids(claims: &[Claim]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.event.id).collect()
}

/// An event that does not block those behind it once it is dead.
fn skippable(entity: i64) -> NewEvent {
    event(entity).with_on_dead(OnDead::Skip)
}

async fn fail(store: Store<'_>, claim: &Claim, clock: &ManualClock) {
    let failed = Disposition::Fail {
        next_attempt_at: after(clock.now(), SECOND),
        message: "server said 503".to_owned(),
    };
    assert_eq!(settle(store, claim, failed).await, Settled::Recorded);
}

pub(super) async fn events_ordered_by_user_are_delivered_in_sequence_across_entities(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let of_user = |entity| event(entity).with_order(Order::User);
    create(store, of_user(1)).await;
    create(store, of_user(2).with_priority(9)).await;
    create(store, of_user(1)).await;
    let stored = create(store, of_user(3)).await;
    assert_eq!(stored.order, Order::User);
    for expected in [1, 2, 1] {
        let claims = claim(store, 9).await;
        assert_eq!(entities(&claims), [expected]);
        complete(store, &claims[0]).await;
    }
    // An event that will be retried blocks the others as well.
    let claimed = claim_one(store).await;
    create(store, of_user(4)).await;
    fail(store, &claimed, clock).await;
    assert!(claim(store, 9).await.is_empty());
    clock.advance(SECOND);
    assert_eq!(entities(&claim(store, 9).await), [3]);
}

pub(super) async fn the_order_of_one_user_blocks_no_other_user(store: Store<'_>, _: &ManualClock) {
    for user in ["u1", "u2", "u1", "u2"] {
        let new = NewEvent::new("note", 1, user, Operation::Update).with_order(Order::User);
        create(store, new).await;
    }
    let claims = claim(store, 9).await;
    let users: Vec<_> = claims
        .iter()
        .map(|claim| claim.event.user_id.as_str())
        .collect();
    assert_eq!(users, ["u1", "u2"]);
}

pub(super) async fn unordered_events_neither_wait_nor_block(store: Store<'_>, clock: &ManualClock) {
    let unordered = || event(1).with_order(Order::None);
    let first = create(store, unordered()).await;
    let second = create(store, unordered()).await;
    let claims = claim(store, 9).await;
    assert_eq!(ids(&claims), [first.id, second.id]);
    fail(store, &claims[0], clock).await;
    settle(store, &claims[1], buried()).await;
    let third = create(store, unordered()).await;
    assert_eq!(ids(&claim(store, 9).await), [third.id]);
    clock.advance(SECOND);
    assert_eq!(ids(&claim(store, 9).await), [first.id]);
    assert_eq!(store.reset_for_retry(&[second.id]).await.unwrap(), 1);
    assert_eq!(ids(&claim(store, 9).await), [second.id]);
}

pub(super) async fn a_skipped_dead_event_unblocks_the_events_behind_it(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for order in [Order::Entity, Order::User] {
        let rejected = create(store, skippable(1).with_order(order)).await;
        let exhausted = skippable(1).with_order(order).with_max_attempts(1);
        let exhausted = create(store, exhausted).await;
        let last = create(store, event(1).with_order(order)).await;

        settle(store, &claim_one(store).await, buried()).await;
        let dead = fetch(store, &rejected).await;
        assert_eq!(
            (dead.status, dead.dead_reason),
            (OutboxStatus::Dead, Some(DeadReason::Rejected))
        );
        assert_eq!(dead.on_dead, OnDead::Skip);

        let seen = store.revision();
        assert_eq!(claim_one(store).await.event.id, exhausted.id);
        clock.advance(LEASE);
        assert_eq!(store.rescue().await.unwrap(), Rescued::new(0, 1));
        assert_ne!(store.revision(), seen, "waiting workers are notified");
        assert_eq!(fetch(store, &exhausted).await.status, OutboxStatus::Dead);

        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, last.id);
        complete(store, &claimed).await;
        // Later events do not wait either.
        create(store, event(1).with_order(order)).await;
        complete(store, &claim_one(store).await).await;
        assert_eq!(store.statistics(None).await.unwrap().dead_count, 2);
        assert_eq!(store.delete_all_events_for_user("u1").await.unwrap(), 4);
    }
}

pub(super) async fn a_retried_skipped_event_goes_before_waiting_events(
    store: Store<'_>,
    _: &ManualClock,
) {
    for order in [Order::Entity, Order::User] {
        let dead = create(store, skippable(1).with_order(order)).await;
        settle(store, &claim_one(store).await, buried()).await;
        let second = create(store, event(1).with_order(order)).await;
        let third = create(store, event(1).with_order(order)).await;
        assert_eq!(store.reset_for_retry(&[dead.id]).await.unwrap(), 1);
        for expected in [dead.id, second.id, third.id] {
            let claims = claim(store, 9).await;
            assert_eq!(ids(&claims), [expected]);
            complete(store, &claims[0]).await;
        }
    }
}

pub(super) async fn a_retried_skipped_event_never_runs_beside_another(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let dead = create(store, skippable(1)).await;
    settle(store, &claim_one(store).await, buried()).await;
    let second = create(store, event(1)).await;
    let third = create(store, event(1)).await;
    let held = claim_one(store).await;
    assert_eq!(held.event.id, second.id);
    assert_eq!(store.reset_for_retry(&[dead.id]).await.unwrap(), 1);
    assert!(claim(store, 9).await.is_empty());
    let refused = store.mark_as_processing(dead.id, LEASE).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    let explanation = store.explain(&EntityId::from(1), None).await.unwrap();
    let turn = WaitsFor::Turn {
        event_id: second.id,
        entity_id: EntityId::from(1),
    };
    assert_eq!((explanation.undelivered, explanation.waits_for), (3, turn));
    // A manual change behind them makes no difference.
    assert!(store.delete_event(third.id).await.unwrap());
    assert!(claim(store, 9).await.is_empty());
    // However the claimed event comes back, it is second from now on.
    fail(store, &held, clock).await;
    clock.advance(SECOND);
    assert_eq!(ids(&claim(store, 9).await), [dead.id]);
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    let claims = claim(store, 9).await;
    assert_eq!(ids(&claims), [dead.id]);
    settle(store, &claims[0], buried()).await;
    for gives_back in [true, false] {
        let held = claim_one(store).await;
        assert_eq!(held.event.id, second.id);
        assert_eq!(store.reset_for_retry(&[dead.id]).await.unwrap(), 1);
        if gives_back {
            settle(store, &held, given_back(None)).await;
        } else {
            clock.advance(LEASE);
            assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
        }
        let claims = claim(store, 9).await;
        assert_eq!(ids(&claims), [dead.id]);
        settle(store, &claims[0], buried()).await;
    }
    // A dead event that blocks others stays in its place: behind the retried event.
    let held = claim_one(store).await;
    assert_eq!(store.reset_for_retry(&[dead.id]).await.unwrap(), 1);
    settle(store, &held, buried()).await;
    let claims = claim(store, 9).await;
    assert_eq!(ids(&claims), [dead.id]);
    complete(store, &claims[0]).await;
    assert!(claim(store, 9).await.is_empty());
}

pub(super) async fn an_edit_leaves_a_dead_event_dead(store: Store<'_>, clock: &ManualClock) {
    for on_dead in [OnDead::Hold, OnDead::Skip] {
        let created = create(store, event(1).with_on_dead(on_dead)).await;
        settle(store, &claim_one(store).await, buried()).await;
        let mut edited = fetch(store, &created).await;
        edited.priority = 7;
        edited.next_attempt_at = clock.now();
        store.update_event(&edited).await.unwrap();
        edited.revision += 1;
        assert_eq!(fetch(store, &created).await, edited);
        assert!(claim(store, 9).await.is_empty());
        assert!(store.delete_event(created.id).await.unwrap());
    }
}

pub(super) async fn an_explanation_names_the_event_that_goes_first(
    store: Store<'_>,
    _: &ManualClock,
) {
    let explain = async |entity: i64| {
        let explanation = store.explain(&EntityId::from(entity), None).await.unwrap();
        (explanation.undelivered, explanation.waits_for)
    };
    let first = create(store, event(1).with_order(Order::User)).await;
    create(store, event(2).with_order(Order::User)).await;
    let turn = WaitsFor::Turn {
        event_id: first.id,
        entity_id: EntityId::from(1),
    };
    assert_eq!(explain(1).await, (1, WaitsFor::Worker));
    assert_eq!(explain(2).await, (1, turn));
    settle(store, &claim_one(store).await, buried()).await;
    let decision = |event_id| WaitsFor::Decision {
        event_id,
        reason: DeadReason::Rejected,
        message: Some("no".to_owned()),
    };
    for entity in [1, 2] {
        assert_eq!(explain(entity).await, (1, decision(first.id)));
    }
    // A skipped event is undelivered too, and is named once nothing else is left.
    let skipped = create(store, skippable(3)).await;
    create(store, event(3)).await;
    settle(store, &claim_one(store).await, buried()).await;
    assert_eq!(explain(3).await, (2, WaitsFor::Worker));
    complete(store, &claim_one(store).await).await;
    assert_eq!(explain(3).await, (1, decision(skipped.id)));
}

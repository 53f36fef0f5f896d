//! Waiting events after an application update changed the order of their type.

use uuid::Uuid;

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, given_back,
    settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Claim, Disposition, Settled};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, EntityId, NewEvent, OnDead, Operation, Order, OutboxEvent,
    RawMetadata, WaitsFor,
};

const ORDERS: [Order; 3] = [Order::Entity, Order::User, Order::None];

/// Each pair of a previous order and a different current one.
fn changes() -> impl Iterator<Item = (Order, Order)> {
    let pairs = ORDERS
        .into_iter()
        .flat_map(|was| ORDERS.map(|is| (was, is)));
    pairs.filter(|(was, is)| was != is)
}

fn ids(claims: &[Claim]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.event.id).collect()
}

async fn ordered(store: Store<'_>, entity: i64, order: Order) -> OutboxEvent {
    create(store, event(entity).with_order(order)).await
}

async fn fail(store: Store<'_>, claim: &Claim, clock: &ManualClock) {
    let failed = Disposition::Fail {
        next_attempt_at: after(clock.now(), SECOND),
        message: "server said 503".to_owned(),
    };
    assert_eq!(settle(store, claim, failed).await, Settled::Recorded);
}

pub(super) async fn types_of_different_orders_do_not_wait_for_each_other(
    store: Store<'_>,
    _: &ManualClock,
) {
    let types = [
        ("note", Order::Entity),
        ("task", Order::User),
        ("log", Order::None),
    ];
    for reversed in [false, true] {
        let of = |(event_type, order): (&'static str, Order)| {
            NewEvent::new(event_type, 1, "u1", Operation::Update).with_order(order)
        };
        let mut types = types;
        if reversed {
            types.reverse();
        }
        let mut first = Vec::new();
        for one in types {
            first.push(create(store, of(one)).await.id);
        }
        let of_user = create(store, of(("task", Order::User))).await;
        let of_entity = create(store, of(("note", Order::Entity))).await;
        let claims = claim(store, 9).await;
        assert_eq!(ids(&claims), first);
        // Each lane continues once its own first event is done, regardless of the others.
        for (order, next) in [(Order::Entity, &of_entity), (Order::User, &of_user)] {
            let done = claims.iter().find(|claim| claim.event.order == order);
            complete(store, done.unwrap()).await;
            assert_eq!(ids(&claim(store, 9).await), [next.id]);
        }
        assert_eq!(store.delete_all_events_for_user("u1").await.unwrap(), 5);
    }
}

pub(super) async fn after_a_change_of_order_the_older_events_of_an_entity_go_first(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for (was, is) in changes() {
        let older = ordered(store, 1, was).await;
        let newer = create(store, event(1).with_order(is).with_priority(9)).await;
        let of_another = NewEvent::new("note", 1, "u2", Operation::Update).with_order(is);
        let of_another = create(store, of_another).await;
        let elsewhere = create(store, event(2).with_order(is).with_priority(-1)).await;
        let mut expected = vec![older.id, of_another.id];
        // In the order of a user, it waits for the newer event in its own lane.
        if is != Order::User {
            expected.push(elsewhere.id);
        }
        let claims = claim(store, 9).await;
        assert_eq!(ids(&claims), expected, "{was:?}, then {is:?}");
        for claim in &claims[1..] {
            complete(store, claim).await;
        }
        // The older event blocks until it is delivered: while its handler runs, until it is due
        // again, and when it is dead.
        assert!(claim(store, 9).await.is_empty(), "{was:?}, then {is:?}");
        fail(store, &claims[0], clock).await;
        assert!(claim(store, 9).await.is_empty(), "{was:?}, then {is:?}");
        clock.advance(SECOND);
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, older.id);
        settle(store, &claimed, buried()).await;
        assert!(claim(store, 9).await.is_empty(), "{was:?}, then {is:?}");
        let explanation = store.explain(&EntityId::from(1), Some("u1")).await.unwrap();
        let decision = WaitsFor::Decision {
            event_id: older.id,
            reason: DeadReason::Rejected,
            message: Some("no".to_owned()),
        };
        assert_eq!(explanation.waits_for, decision, "{was:?}, then {is:?}");
        assert_eq!(store.reset_for_retry(&[older.id]).await.unwrap(), 1);
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, older.id);
        complete(store, &claimed).await;
        let mut rest = Vec::new();
        for _ in 0..2 {
            for claim in claim(store, 9).await {
                rest.push(claim.event.id);
                complete(store, &claim).await;
            }
        }
        assert_eq!(rest.first(), Some(&newer.id), "{was:?}, then {is:?}");
        let left = store.fetch_pending_events(None, None).await.unwrap();
        assert_eq!(left, [], "{was:?}, then {is:?}");
    }
}

pub(super) async fn an_event_waits_for_all_older_events(store: Store<'_>, clock: &ManualClock) {
    for (was, is) in changes() {
        let older = [
            ordered(store, 1, was).await,
            ordered(store, 1, was).await,
            ordered(store, 1, was).await,
        ];
        let newer = ordered(store, 1, is).await;
        let newest = ordered(store, 1, was).await;
        let mut delivered = Vec::new();
        for _ in 0..5 {
            let claims = claim(store, 9).await;
            // Only events that wait for no other event may be claimed together.
            assert!(
                claims.len() == 1 || claims.iter().all(|claim| claim.event.order == Order::None),
                "{was:?}, then {is:?}"
            );
            for (nth, claim) in claims.iter().enumerate() {
                // Each event comes back once: given back, failed, or rescued.
                match nth % 3 {
                    0 => drop(settle(store, claim, given_back(None)).await),
                    1 => fail(store, claim, clock).await,
                    _ => {
                        clock.advance(LEASE);
                        store.rescue().await.unwrap();
                    }
                }
            }
            clock.advance(SECOND);
            for claim in claim(store, 9).await {
                delivered.push(claim.event.id);
                complete(store, &claim).await;
            }
        }
        assert_eq!(delivered.len(), 5, "{was:?}, then {is:?}");
        let older = older.map(|event| event.id);
        delivered[..3].sort();
        assert_eq!(delivered[..3], older, "{was:?}, then {is:?}");
        assert_eq!(
            delivered[3..],
            [newer.id, newest.id],
            "{was:?}, then {is:?}"
        );
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

pub(super) async fn an_older_event_that_is_gone_unblocks_the_newer_one(
    store: Store<'_>,
    _: &ManualClock,
) {
    for (was, is) in changes() {
        let skippable = event(1).with_order(was).with_on_dead(OnDead::Skip);
        create(store, skippable).await;
        settle(store, &claim_one(store).await, buried()).await;
        let deleted = ordered(store, 1, was).await;
        // This event waits in its lane behind an event for which no other event waits.
        let task = NewEvent::new("task", 2, "u1", Operation::Update).with_order(was);
        let task = create(store, task).await;
        let blocked = ordered(store, 2, was).await;
        let newer = [ordered(store, 1, is).await, ordered(store, 2, is).await];
        let claims = claim(store, 9).await;
        let waits = |id| claims.iter().all(|claim| claim.event.id != id);
        assert!(
            newer.iter().all(|newer| waits(newer.id)),
            "{was:?}, then {is:?}"
        );
        assert!(store.delete_event(deleted.id).await.unwrap());
        assert!(store.delete_event(blocked.id).await.unwrap());
        let mut next = ids(&claim(store, 9).await);
        next.retain(|id| *id != task.id);
        let expected = newer.map(|newer| newer.id);
        let together = if is == Order::User { 1 } else { 2 };
        assert_eq!(next, expected[..together], "{was:?}, then {is:?}");
        assert_eq!(waits(task.id), was == Order::User, "{was:?}, then {is:?}");
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

pub(super) async fn a_retried_older_event_that_was_skipped_goes_before_the_newer_ones(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for (was, is) in changes() {
        let skippable = event(1).with_order(was).with_on_dead(OnDead::Skip);
        let older = create(store, skippable).await;
        settle(store, &claim_one(store).await, buried()).await;
        let newer = ordered(store, 1, is).await;
        for comes_back in 0..3 {
            let held = claim_one(store).await;
            assert_eq!(held.event.id, newer.id, "{was:?}, then {is:?}");
            assert_eq!(store.reset_for_retry(&[older.id]).await.unwrap(), 1);
            match comes_back {
                0 => drop(settle(store, &held, given_back(None)).await),
                1 => fail(store, &held, clock).await,
                _ => {
                    clock.advance(LEASE);
                    store.rescue().await.unwrap();
                }
            }
            clock.advance(SECOND);
            let claims = claim(store, 9).await;
            assert_eq!(ids(&claims), [older.id], "{was:?}, then {is:?}");
            settle(store, &claims[0], buried()).await;
        }
        // A newer event that is waiting goes behind as well.
        assert_eq!(store.reset_for_retry(&[older.id]).await.unwrap(), 1);
        let claims = claim(store, 9).await;
        assert_eq!(ids(&claims), [older.id], "{was:?}, then {is:?}");
        complete(store, &claims[0]).await;
        assert_eq!(
            ids(&claim(store, 9).await),
            [newer.id],
            "{was:?}, then {is:?}"
        );
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

pub(super) async fn nothing_folds_over_an_event_of_another_order(
    store: Store<'_>,
    _: &ManualClock,
) {
    for (was, is) in changes() {
        let change = |order, content: &str| {
            NewEvent::new("draft", 1, "u1", Operation::Update)
                .with_metadata(RawMetadata::from_bytes(content))
                .with_coalesce(Coalesce::Latest)
                .with_order(order)
        };
        let first = create(store, change(was, "1")).await;
        let other = create(store, change(is, "2")).await;
        let last = create(store, change(was, "3")).await;
        assert_ne!(first.id, last.id, "{was:?}, then {is:?}");
        assert_eq!(create(store, change(was, "4")).await.id, last.id);
        let mut delivered = Vec::new();
        for _ in 0..3 {
            let claimed = claim_one(store).await;
            delivered.push(claimed.event.id);
            complete(store, &claimed).await;
        }
        assert_eq!(
            delivered,
            [first.id, other.id, last.id],
            "{was:?}, then {is:?}"
        );
    }
}

pub(super) async fn a_change_of_owner_keeps_the_older_events_first(
    store: Store<'_>,
    _: &ManualClock,
) {
    for (was, is) in changes() {
        let of =
            |user: &str, order| NewEvent::new("note", 1, user, Operation::Update).with_order(order);
        let older = create(store, of("local", was)).await;
        let newer = create(store, of("u1", is)).await;
        let newest = create(store, of("local", was)).await;
        assert_eq!(store.reassign_user("local", "u1").await.unwrap(), 2);
        let mut delivered = Vec::new();
        for _ in 0..3 {
            let claimed = claim(store, 9).await;
            assert_eq!(claimed.len(), 1, "{was:?}, then {is:?}");
            delivered.push(claimed[0].event.id);
            complete(store, &claimed[0]).await;
        }
        let expected = [older.id, newer.id, newest.id];
        assert_eq!(delivered, expected, "{was:?}, then {is:?}");
        assert_eq!(fetch(store, &older).await.user_id, "u1");
    }
}

//! Manual deletion, and clean-up.

use super::helpers::{
    LEASE, SECOND, Store, buried, change_of, claim, claim_one, complete, create, event, fetch,
    settle,
};
use crate::ManualClock;
use outbox_runtime::store::{DeleteUnit, Disposition, Settled};
use outbox_runtime::{Clock, EntityId, NewEvent, Operation, Order, OutboxStatus, RawMetadata};

pub(super) async fn only_dead_events_are_discarded(store: Store<'_>, _: &ManualClock) {
    let dead = create(store, event(1)).await;
    let behind = create(store, event(1)).await;
    let dead_too = create(store, event(3)).await;
    for claimed in claim(store, 2).await {
        settle(store, &claimed, buried()).await;
    }
    let waiting = create(store, event(2)).await;
    let ids = [
        dead.id,
        behind.id,
        waiting.id,
        uuid::Uuid::nil(),
        dead_too.id,
    ];
    assert_eq!(store.discard(&ids).await.unwrap(), 2);
    assert_eq!(store.fetch_event(dead.id).await.unwrap(), None);
    assert_eq!(store.fetch_event(dead_too.id).await.unwrap(), None);
    let claimed = claim(store, 10).await;
    let claimed: Vec<_> = claimed.iter().map(|claim| claim.event.id).collect();
    assert_eq!(
        claimed,
        [behind.id, waiting.id],
        "the events behind it can be claimed"
    );
}

pub(super) async fn deleting_the_first_event_unblocks_the_next(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    assert!(store.delete_event(first.id).await.unwrap());
    assert!(!store.delete_event(first.id).await.unwrap());
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub(super) async fn deleting_by_entity_or_user_deletes_nothing_else(
    store: Store<'_>,
    _: &ManualClock,
) {
    for entity in [1, 1, 2, 3] {
        create(store, event(entity)).await;
    }
    let of_u2 = create(store, NewEvent::new("note", 1, "u2", Operation::Create)).await;
    let entities = [EntityId::from(1), EntityId::from(2)];
    let deleted = store
        .delete_events_for_entities(&entities, Some("u1"))
        .await;
    assert_eq!(deleted.unwrap(), 3);
    assert_eq!(store.delete_all_events_for_user("u1").await.unwrap(), 1);
    assert_eq!(fetch(store, &of_u2).await, of_u2);
    let deleted = store.delete_events_for_entities(&entities, None).await;
    assert_eq!(deleted.unwrap(), 1);
}

pub(super) async fn clean_up_deletes_only_old_completed_events(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let old = create(store, event(1)).await;
    complete(store, &claim_one(store).await).await;
    clock.advance(SECOND);
    let new = create(store, event(2)).await;
    complete(store, &claim_one(store).await).await;
    let pending = create(store, event(3)).await;
    let deleted = store.delete_completed_events(clock.now()).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(store.fetch_event(old.id).await.unwrap(), None);
    fetch(store, &new).await;
    fetch(store, &pending).await;
}

pub(super) async fn completed_events_stay_counted_after_clean_up(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let completed = async |user: Option<&str>| {
        let statistics = store.statistics(user).await.unwrap();
        (statistics.completed_count, statistics.completed_total)
    };
    for entity in 1..=3 {
        create(store, event(entity)).await;
        complete(store, &claim_one(store).await).await;
    }
    create(store, NewEvent::new("test", 1, "u2", Operation::Update)).await;
    complete(store, &claim_one(store).await).await;
    clock.advance(SECOND);
    create(store, event(4)).await;
    complete(store, &claim_one(store).await).await;
    assert_eq!(completed(None).await, (5, 5));
    for _ in 0..2 {
        store.delete_completed_events(clock.now()).await.unwrap();
        assert_eq!(completed(None).await, (1, 5));
        assert_eq!(completed(Some("u1")).await, (1, 4));
        assert_eq!(completed(Some("u2")).await, (0, 1));
    }
    store.reassign_user("u2", "u1").await.unwrap();
    assert_eq!(completed(Some("u1")).await, (1, 5));
    assert_eq!(completed(Some("u2")).await, (0, 0));
    store.delete_all_events_for_user("u1").await.unwrap();
    assert_eq!(completed(None).await, (0, 0));
}

pub(super) async fn a_removed_event_is_delivered_counted_and_forgotten(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let other = create(store, event(2)).await;
    let claimed = claim(store, 10).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        let settled = settle(store, claimed, Disposition::Remove).await;
        assert_eq!(settled, Settled::Recorded);
    }
    for removed in [&first, &other] {
        assert_eq!(store.fetch_event(removed.id).await.unwrap(), None);
    }
    let statistics = store.statistics(Some("u1")).await.unwrap();
    let completed = (statistics.completed_count, statistics.completed_total);
    assert_eq!((completed, statistics.total_events), ((0, 2), 1));
    let next = claim_one(store).await;
    assert_eq!(next.event.id, second.id, "the next event of the lane");
    // The outcome of a lost lease removes nothing.
    clock.advance(LEASE);
    let settled = settle(store, &next, Disposition::Remove).await;
    assert_eq!(settled, Settled::LeaseLost);
    fetch(store, &second).await;
    // The id is free again.
    let again = create(store, event(1).with_id(first.id)).await;
    assert_eq!(again.status, OutboxStatus::Pending);
}

pub(super) async fn an_event_that_changed_since_it_was_seen_is_not_deleted(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let mut seen = Vec::new();
    for entity in 1..=6 {
        seen.push(create(store, change_of(entity, Order::Entity, "old")).await);
    }
    // In this order: folded into, claimed, given back, edited, deleted, unchanged.
    create(store, change_of(1, Order::Entity, "new")).await;
    let _ = store.mark_as_processing(seen[1].id, LEASE).await.unwrap();
    let given_back = store.mark_as_processing(seen[2].id, LEASE).await.unwrap();
    let back = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: None,
    };
    settle(store, &given_back, back).await;
    let mut edited = seen[3].clone();
    edited.priority += 1;
    store.update_event(&edited).await.unwrap();
    assert!(store.delete_event(seen[4].id).await.unwrap());
    for unit in [DeleteUnit::Lane, DeleteUnit::Event] {
        let deleted = store.delete_seen(&seen, unit).await.unwrap();
        assert_eq!(deleted, u64::from(unit == DeleteUnit::Lane));
        for (index, event) in seen.iter().enumerate() {
            let is_there = store.fetch_event(event.id).await.unwrap().is_some();
            assert_eq!(is_there, index < 4, "{event:?}");
        }
    }
    let newest = fetch(store, &seen[0]).await;
    let text = newest.metadata.as_ref().and_then(RawMetadata::as_str);
    assert_eq!(text, Some("\"new\""));
    assert_eq!(newest.created_at, clock.now());
}

pub(super) async fn a_lane_that_changed_since_it_was_seen_is_not_partly_deleted(
    store: Store<'_>,
    _: &ManualClock,
) {
    for (order, stays) in [(Order::Entity, 2), (Order::User, 4), (Order::None, 0)] {
        let event = |entity| event(entity).with_order(order);
        let mut seen = Vec::new();
        for entity in [1, 1, 2, 2] {
            seen.push(create(store, event(entity)).await);
        }
        let newer = create(store, event(1)).await;
        let deleted = store.delete_seen(&seen, DeleteUnit::Lane).await.unwrap();
        assert_eq!(deleted, 4 - stays, "{order:?}");
        assert!(store.fetch_event(newer.id).await.unwrap().is_some());
        // The first event of the lane can be claimed.
        let first = claim_one(store).await;
        let expected = if stays == 0 { newer.id } else { seen[0].id };
        assert_eq!(first.event.id, expected, "{order:?}");
        // Event by event: deletes all remaining seen events except for the claimed one.
        let deleted = store.delete_seen(&seen, DeleteUnit::Event).await.unwrap();
        assert_eq!(deleted, u64::saturating_sub(stays, 1), "{order:?}");
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

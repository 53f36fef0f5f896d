//! Listings, statistics, due times, explanations, and change notifications.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{ClaimRequest, Disposition};
use outbox_runtime::{
    Breakdown, Clock, DeadReason, EntityId, NewEvent, Operation, Order, OutboxEvent, OutboxStatus,
    Pause, PauseScope, WaitsFor,
};

pub(super) async fn listings_filter_by_status_user_and_limit(store: Store<'_>, _: &ManualClock) {
    let a = create(store, event(1)).await;
    let b = create(store, event(2).with_priority(1)).await;
    let c = create(store, NewEvent::new("other", 2, "u2", Operation::Create)).await;
    let ids = |events: Vec<OutboxEvent>| events.iter().map(|event| event.id).collect::<Vec<_>>();

    let pending = store.fetch_pending_events(Some("u1"), None).await.unwrap();
    assert_eq!(ids(pending), [b.id, a.id], "in claim order");
    let pending = store.fetch_pending_events(None, Some(2)).await.unwrap();
    assert_eq!(ids(pending), [b.id, a.id]);

    let listed = store.fetch_events(OutboxStatus::Pending, None, None).await;
    assert_eq!(ids(listed.unwrap()), [a.id, b.id, c.id], "in seq order");
    let listed = store
        .fetch_events(OutboxStatus::Pending, Some("u2"), Some(9))
        .await;
    assert_eq!(ids(listed.unwrap()), [c.id]);
    let listed = store.fetch_events(OutboxStatus::Dead, None, None).await;
    assert!(listed.unwrap().is_empty());

    let entity = EntityId::from(2);
    let listed = store.fetch_events_for_entity(&entity, None, None).await;
    assert_eq!(ids(listed.unwrap()), [b.id, c.id]);
    let listed = store
        .fetch_events_for_entity(&entity, Some("other"), None)
        .await;
    assert_eq!(ids(listed.unwrap()), [c.id]);
    let listed = store
        .fetch_events_for_entity(&entity, None, Some("u1"))
        .await;
    assert_eq!(ids(listed.unwrap()), [b.id]);
}

pub(super) async fn listings_show_events_in_every_state(store: Store<'_>, clock: &ManualClock) {
    let ids = |events: Vec<OutboxEvent>| events.iter().map(|event| event.id).collect::<Vec<_>>();
    let completed = create(store, event(1)).await;
    complete(store, &claim_one(store).await).await;
    let dead = create(store, event(1)).await;
    settle(store, &claim_one(store).await, buried()).await;
    let failed = create(store, event(2)).await;
    let failure = Disposition::Fail {
        next_attempt_at: after(clock.now(), SECOND),
        message: "no".to_owned(),
    };
    settle(store, &claim_one(store).await, failure).await;
    let leased = create(store, event(3)).await;
    let _ = claim_one(store).await;
    let later = create(store, event(4).with_delay(2 * SECOND)).await;

    let pending = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(
        ids(pending),
        [failed.id, later.id],
        "events that may still be claimed"
    );
    for (entity, expected) in [
        (1, vec![completed.id, dead.id]),
        (2, vec![failed.id]),
        (3, vec![leased.id]),
        (4, vec![later.id]),
    ] {
        let entity = EntityId::from(entity);
        let listed = store.fetch_events_for_entity(&entity, None, None).await;
        assert_eq!(ids(listed.unwrap()), expected);
    }
}

pub(super) async fn listings_stop_at_their_limit(store: Store<'_>, _: &ManualClock) {
    for entity in 1..=5 {
        create(store, event(entity)).await;
    }
    for claimed in claim(store, 2).await {
        complete(store, &claimed).await;
    }
    for (status, count) in [(OutboxStatus::Pending, 3), (OutboxStatus::Completed, 2)] {
        for limit in 0..=4 {
            for user in [None, Some("u1")] {
                let listed = store.fetch_events(status, user, Some(limit)).await.unwrap();
                assert_eq!(listed.len(), limit.min(count), "{status}, at most {limit}");
                let all = store.fetch_events(status, user, None).await.unwrap();
                assert_eq!(listed, all[..listed.len()], "the first ones");
            }
        }
    }
    for limit in 0..=4 {
        let listed = store.fetch_pending_events(Some("u1"), Some(limit)).await;
        assert_eq!(listed.unwrap().len(), limit.min(3));
    }
}

pub(super) async fn the_oldest_completion_is_reported_while_it_is_kept(
    store: Store<'_>,
    clock: &ManualClock,
) {
    assert_eq!(store.oldest_completed().await.unwrap(), None);
    create(store, event(1)).await;
    assert_eq!(store.oldest_completed().await.unwrap(), None);
    complete(store, &claim_one(store).await).await;
    let first = clock.now();
    clock.advance(SECOND);
    create(store, event(2)).await;
    complete(store, &claim_one(store).await).await;
    assert_eq!(store.oldest_completed().await.unwrap(), Some(first));
    store.delete_completed_events(clock.now()).await.unwrap();
    assert_eq!(store.oldest_completed().await.unwrap(), Some(clock.now()));
    clock.advance(SECOND);
    store.delete_completed_events(clock.now()).await.unwrap();
    assert_eq!(store.oldest_completed().await.unwrap(), None);
}

pub(super) async fn event_types_lists_each_waiting_type_once(store: Store<'_>, _: &ManualClock) {
    let of = |event_type: &'static str, entity| {
        NewEvent::new(event_type, entity, "u1", Operation::Update)
    };
    assert_eq!(store.event_types().await.unwrap(), [""; 0]);
    create(store, of("done", 1)).await;
    complete(store, &claim_one(store).await).await;
    let others = NewEvent::new("b", 2, "u2", Operation::Update).with_order(Order::None);
    create(store, others).await;
    for entity in 3..6 {
        // Events behind others, and events that are not due, count as waiting.
        create(store, of("c", entity)).await;
        create(store, of("a", entity).with_delay(SECOND)).await;
    }
    assert_eq!(store.event_types().await.unwrap(), ["a", "b", "c"]);
    store.delete_all_events_for_user("u2").await.unwrap();
    assert_eq!(store.event_types().await.unwrap(), ["a", "c"]);
}

pub(super) async fn pending_deletes_are_the_undelivered_ones(store: Store<'_>, _: &ManualClock) {
    let delete = |entity| NewEvent::new("test", entity, "u1", Operation::Delete);
    create(store, delete(1)).await;
    create(store, event(2)).await;
    create(store, delete(2)).await;
    create(store, delete(3)).await;
    create(store, NewEvent::new("test", 4, "u2", Operation::Delete)).await;
    let pending = async |user| {
        let pending = store.pending_deletes(user).await.unwrap();
        let ids = pending.iter().map(|delete| delete.entity_id.as_integer());
        ids.map(Option::unwrap).collect::<Vec<i64>>()
    };
    assert_eq!(pending(Some("u1")).await, [1, 2, 3]);
    let claims = claim(store, 10).await;
    assert_eq!(pending(None).await, [1, 2, 3, 4], "while handlers run");
    complete(store, &claims[0]).await;
    settle(store, &claims[2], buried()).await;
    assert_eq!(
        pending(None).await,
        [2, 3, 4],
        "a dead event is not delivered"
    );
    let dead = store.fetch_events(OutboxStatus::Dead, None, None).await;
    store.discard(&[dead.unwrap()[0].id]).await.unwrap();
    assert_eq!(pending(Some("u1")).await, [2]);
}

pub(super) async fn statistics_count_every_status(store: Store<'_>, clock: &ManualClock) {
    let oldest = clock.now();
    for entity in 1..=4 {
        create(store, event(entity)).await;
    }
    let claims = claim(store, 3).await;
    complete(store, &claims[0]).await;
    let due = after(clock.now(), SECOND);
    let failed = Disposition::Fail {
        next_attempt_at: due,
        message: "no".to_owned(),
    };
    settle(store, &claims[1], failed).await;
    let completed_at = clock.now();
    clock.advance(SECOND);
    create(store, NewEvent::new("note", 5, "u2", Operation::Create)).await;
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(statistics.total_events, 5);
    assert_eq!(statistics.pending_count, 2);
    assert_eq!(statistics.processing_count, 1);
    assert_eq!(statistics.completed_count, 1);
    assert_eq!(statistics.failed_count, 1);
    assert_eq!(statistics.dead_count, 0);
    assert_eq!(statistics.oldest_pending_date, Some(oldest));
    assert_eq!(statistics.newest_completed_date, Some(completed_at));
    settle(store, &claims[2], buried()).await;
    let statistics = store.statistics(Some("u1")).await.unwrap();
    assert_eq!(statistics.total_events, 4);
    assert_eq!((statistics.pending_count, statistics.dead_count), (1, 1));
    let nobody = store.statistics(Some("u3")).await.unwrap();
    assert_eq!(nobody.total_events, 0);
    assert_eq!(nobody.oldest_pending_date, None);
}

pub(super) async fn stale_events_are_the_long_pending_ones(store: Store<'_>, clock: &ManualClock) {
    let old = create(store, event(1)).await;
    clock.advance(SECOND);
    let second = create(store, event(2)).await;
    clock.advance(OutboxEvent::STALE_AFTER);
    assert_eq!(
        store.stale_events(None).await.unwrap(),
        std::slice::from_ref(&old)
    );
    assert_eq!(store.statistics(None).await.unwrap().stale_count, 1);
    assert!(store.stale_events(Some("u2")).await.unwrap().is_empty());
    clock.advance(SECOND);
    assert_eq!(store.stale_events(None).await.unwrap(), [old, second]);
}

pub(super) async fn next_due_returns_the_earliest_due_time_or_lease_end(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let all = ClaimRequest::new(1, LEASE);
    assert_eq!(store.next_due(&all).await.unwrap(), None);
    create(store, event(1).with_delay(2 * LEASE)).await;
    let due = after(clock.now(), 2 * LEASE);
    assert_eq!(store.next_due(&all).await.unwrap(), Some(due));
    let others = ClaimRequest::new(1, LEASE).with_user("u2");
    assert_eq!(store.next_due(&others).await.unwrap(), None);
    create(store, event(2)).await;
    let claimed = claim_one(store).await;
    let ends = claimed.lease.expires_at;
    assert_eq!(store.next_due(&all).await.unwrap(), Some(ends));
    assert_eq!(store.next_due(&others).await.unwrap(), Some(ends));
}

pub(super) async fn an_explanation_names_the_cause_of_waiting(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let entity = EntityId::from(1);
    let explain = async || {
        let explanation = store.explain(&entity, None).await.unwrap();
        (explanation.undelivered, explanation.waits_for)
    };
    assert_eq!(explain().await, (0, WaitsFor::Nothing));
    let first = create(store, event(1).with_delay(SECOND)).await;
    create(store, event(1)).await;
    let at = after(clock.now(), SECOND);
    let last_error = None;
    assert_eq!(explain().await, (2, WaitsFor::DueTime { at, last_error }));
    clock.advance(SECOND);
    assert_eq!(explain().await, (2, WaitsFor::Worker));
    let claimed = claim_one(store).await;
    let with_a_handler_here = WaitsFor::Handler {
        process_id: Some(std::process::id()),
        lease_expires_at: claimed.lease.expires_at,
    };
    assert_eq!(explain().await, (2, with_a_handler_here));
    settle(store, &claimed, buried()).await;
    let decision = WaitsFor::Decision {
        event_id: first.id,
        reason: DeadReason::Rejected,
        message: Some("no".to_owned()),
    };
    assert_eq!(explain().await, (2, decision));
    let others = store.explain(&entity, Some("u2")).await.unwrap();
    assert_eq!(others.waits_for, WaitsFor::Nothing);
}

pub(super) async fn a_commit_wakes_a_waiter_for_changes(store: Store<'_>, _: &ManualClock) {
    let seen = store.revision();
    let (now, _) = tokio::join!(store.changed(seen), create(store, event(1)));
    assert_ne!(now, seen);
    // Also if the change happened before the call.
    assert_ne!(store.changed(seen).await, seen);
}

pub(super) async fn an_outcome_that_makes_an_event_claimable_wakes_a_waiter(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, event(1)).await;
    let first = claim_one(store).await;
    let seen = store.revision();
    settle(store, &first, given_back(None)).await;
    assert_ne!(store.changed(seen).await, seen, "claimable again");
    let first = claim_one(store).await;
    let seen = store.revision();
    settle(store, &first, Disposition::Complete).await;
    assert_ne!(store.changed(seen).await, seen, "the next one is claimable");
}

pub(super) async fn a_breakdown_counts_by_type_and_user(store: Store<'_>, clock: &ManualClock) {
    let empty = store.breakdown(None, 10).await.unwrap();
    assert!(empty.types.is_empty() && empty.users.is_empty() && empty.is_complete);
    let of = |event_type: &'static str, entity: i64, user: &'static str| {
        NewEvent::new(event_type, entity, user, Operation::Update)
    };
    create(store, of("a", 1, "u1")).await;
    complete(store, &claim_one(store).await).await;
    create(store, of("a", 2, "u1")).await;
    settle(store, &claim_one(store).await, buried()).await;
    create(store, of("b", 3, "u2")).await;
    let failure = Disposition::Fail {
        next_attempt_at: after(clock.now(), 9 * SECOND),
        message: "no".to_owned(),
    };
    settle(store, &claim_one(store).await, failure).await;
    create(store, of("b", 4, "u2")).await;
    let _ = claim_one(store).await;
    let first = create(store, of("b", 5, "u1")).await;
    clock.advance(SECOND);
    create(store, of("a", 6, "u2").with_delay(SECOND)).await;

    let all = store.breakdown(None, 10).await.unwrap();
    assert!(all.is_complete);
    assert_eq!(all.counted, 5);
    let types: Vec<_> = all
        .types
        .iter()
        .map(|it| {
            (
                it.event_type.as_str(),
                [it.pending, it.processing, it.failed, it.dead],
            )
        })
        .collect();
    assert_eq!(types, [("a", [1, 0, 0, 1]), ("b", [1, 1, 1, 0])]);
    assert_eq!(all.types[0].oldest, Some(clock.now()), "dead letters aside");
    assert_eq!(all.types[1].oldest, Some(first.created_at));
    let users = |breakdown: &Breakdown| {
        let users = breakdown.users.iter();
        let users = users.map(|user| (user.user_id.clone(), user.undelivered, user.dead));
        users.collect::<Vec<_>>()
    };
    let of_user = |user: &str, undelivered, dead| (user.to_owned(), undelivered, dead);
    assert_eq!(users(&all), [of_user("u2", 3, 0), of_user("u1", 1, 1)]);

    let of_one = store.breakdown(Some("u1"), 10).await.unwrap();
    assert_eq!(users(&of_one), [of_user("u1", 1, 1)]);
    assert!(of_one.is_complete);
    for (most, is_complete) in [(0, false), (2, false), (4, false), (5, true)] {
        let part = store.breakdown(None, most).await.unwrap();
        assert_eq!((part.counted, part.is_complete), (most as u64, is_complete));
    }
    let oldest = store.breakdown(None, 1).await.unwrap();
    assert_eq!(users(&oldest), [of_user("u1", 0, 1)], "in seq order");
}

pub(super) async fn the_oldest_due_time_is_that_of_events_that_can_be_claimed(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let oldest = async || store.oldest_due().await.unwrap();
    assert_eq!(oldest().await, None);
    let later = after(clock.now(), 5 * SECOND);
    create(store, event(1).with_delay(5 * SECOND)).await;
    assert_eq!(oldest().await, Some(later), "it will be due");
    let low = create(store, event(2).with_priority(-3)).await;
    clock.advance(SECOND);
    let high = create(store, event(3).with_priority(7)).await;
    create(store, event(4).with_priority(7)).await;
    assert_eq!(
        oldest().await,
        Some(low.next_attempt_at),
        "whatever the priorities"
    );
    store.pause(&Pause::user("u1")).await.unwrap();
    assert_eq!(
        oldest().await,
        Some(low.next_attempt_at),
        "a pause changes nothing"
    );
    store
        .unpause(&PauseScope::User("u1".to_owned()))
        .await
        .unwrap();

    // With handlers: the high ones first, then all that are due.
    let claimed = claim(store, 2).await;
    assert_eq!(claimed[0].event.id, high.id);
    assert_eq!(oldest().await, Some(low.next_attempt_at));
    let last = claim_one(store).await;
    assert_eq!(last.event.id, low.id);
    assert_eq!(oldest().await, Some(later));

    // Behind a failed event, and behind a dead one.
    create(store, event(2)).await;
    let retry_at = after(clock.now(), 3 * SECOND);
    let failure = Disposition::Fail {
        next_attempt_at: retry_at,
        message: "no".to_owned(),
    };
    settle(store, &last, failure).await;
    assert_eq!(oldest().await, Some(retry_at));
    create(store, event(3)).await;
    settle(store, &claimed[0], buried()).await;
    assert_eq!(oldest().await, Some(retry_at));
    complete(store, &claimed[1]).await;
    clock.advance(3 * SECOND);
    let again = claim_one(store).await;
    assert_eq!(again.event.id, low.id);
    complete(store, &again).await;
    let follower = oldest().await.unwrap();
    assert!(follower < clock.now(), "{follower}");
}

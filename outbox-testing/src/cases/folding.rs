//! Folding: a newer event about the same entity arrives while the older one is unclaimed.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, fetch, given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::Disposition;
use outbox_runtime::{
    Clock, Coalesce, EnqueueError, EntityId, NewEvent, OnDead, Operation, Order, OutboxEvent,
    OutboxStatus, RawMetadata, WaitsFor,
};

/// An event about entity 1 that folds.
fn change(operation: Operation, content: &'static str) -> NewEvent {
    NewEvent::new("draft", 1, "u1", operation)
        .with_metadata(RawMetadata::from_bytes(content))
        .with_coalesce(Coalesce::Latest)
}

fn content(event: &OutboxEvent) -> &str {
    let metadata = event.metadata.as_ref();
    metadata.and_then(|raw| raw.as_str()).unwrap_or_default()
}

async fn count(store: Store<'_>) -> u64 {
    store.statistics(None).await.unwrap().total_events
}

pub(super) async fn an_update_folds_into_an_unclaimed_event(store: Store<'_>, clock: &ManualClock) {
    for (order, operation) in [
        (Order::Entity, Operation::Create),
        (Order::Entity, Operation::Update),
        (Order::User, Operation::Create),
        (Order::None, Operation::Update),
    ] {
        let first = create(store, change(operation, "1").with_order(order)).await;
        clock.advance(SECOND);
        for newer in ["2", "3"] {
            let newer = change(Operation::Update, newer).with_order(order);
            let folded = create(store, newer.with_metadata_version(2)).await;
            assert_eq!(folded.id, first.id);
        }
        let folded = fetch(store, &first).await;
        let mut expected = first.clone();
        expected.metadata = Some(RawMetadata::from_bytes("3"));
        expected.metadata_version = 2;
        expected.revision = 2;
        assert_eq!(
            folded, expected,
            "the place, the time and the operation stay"
        );
        let claims = claim(store, 9).await;
        assert_eq!(claims.len(), 1);
        assert_eq!(content(&claims[0].event), "3");
        complete(store, &claims[0]).await;
    }
    assert_eq!(count(store).await, 4);
}

pub(super) async fn a_create_and_its_delete_cancel_out(store: Store<'_>, clock: &ManualClock) {
    let first = create(store, change(Operation::Create, "1")).await;
    clock.advance(SECOND);
    let delete = change(Operation::Delete, "2");
    let cancelled = create(store, delete.clone()).await;
    assert_eq!(cancelled.id, first.id);
    assert_eq!(cancelled.status, OutboxStatus::Completed);
    assert_eq!(cancelled.completed_at, Some(clock.now()));
    assert_eq!(
        (cancelled.operation, cancelled.attempt_count),
        (Operation::Create, 0)
    );
    assert!(claim(store, 9).await.is_empty(), "nothing is sent");
    let explanation = store.explain(&EntityId::from(1), None).await.unwrap();
    assert_eq!(explanation.waits_for, WaitsFor::Nothing);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.pending_count, statistics.total_events), (0, 1));
    // Repeats both, as after an unknown outcome.
    let again = change(Operation::Create, "1").with_id(first.id);
    assert_eq!(create(store, again).await, cancelled);
    assert_eq!(create(store, delete).await, cancelled);
    assert!(claim(store, 9).await.is_empty());
    // A new creation is a new event.
    let anew = create(store, change(Operation::Create, "3")).await;
    assert_eq!(claim_one(store).await.event.id, anew.id);
}

pub(super) async fn nothing_cancels_out_once_the_service_may_know_the_entity(
    store: Store<'_>,
    clock: &ManualClock,
) {
    // Alone in its lane, and with another event behind it; deleted at once, and by a clean-up.
    let ways = [
        (false, Disposition::Remove),
        (false, Disposition::Complete),
        (true, Disposition::Remove),
        (true, Disposition::Complete),
    ];
    // An entity of its own for each, which the service does not know from another one.
    for (entity, (has_next, disposition)) in (7_101_i64..).zip(ways) {
        let change = |operation| {
            NewEvent::new("draft", entity, "u1", operation).with_coalesce(Coalesce::Latest)
        };
        create(store, change(Operation::Create)).await;
        let claimed = claim_one(store).await;
        if has_next {
            create(store, change(Operation::Delete)).await;
        }
        settle(store, &claimed, disposition).await;
        if has_next {
            let next = claim_one(store).await;
            settle(store, &next, Disposition::Remove).await;
        }
        clock.advance(SECOND);
        store.delete_completed_events(clock.now()).await.unwrap();
        assert_eq!(count(store).await, 0);
        let anew = create(store, change(Operation::Create)).await;
        let delete = create(store, change(Operation::Delete)).await;
        assert_ne!(delete.status, OutboxStatus::Completed, "it is sent");
        for sent in [anew, delete] {
            let next = claim_one(store).await;
            assert_eq!(next.event.id, sent.id);
            settle(store, &next, Disposition::Remove).await;
        }
    }
}

pub(super) async fn an_update_and_its_delete_become_a_delete(store: Store<'_>, _: &ManualClock) {
    let first = create(store, change(Operation::Update, "1")).await;
    let folded = create(store, change(Operation::Delete, "2")).await;
    assert_eq!(folded.id, first.id);
    assert_eq!(
        (folded.operation, content(&folded)),
        (Operation::Delete, "2")
    );
    // Nothing folds into a delete, and a creation folds into nothing.
    create(store, change(Operation::Create, "3")).await;
    create(store, change(Operation::Create, "4")).await;
    assert_eq!(count(store).await, 3);
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.operation, Operation::Delete);
}

pub(super) async fn nothing_folds_into_an_event_that_was_ever_claimed(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let update = || change(Operation::Update, "new");
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    for disposition in [None, Some(given_back(None)), Some(failed), Some(buried())] {
        let was_buried = disposition == Some(buried());
        let first = create(store, change(Operation::Update, "old")).await;
        let claimed = claim_one(store).await;
        if let Some(disposition) = disposition {
            settle(store, &claimed, disposition).await;
        }
        let own = create(store, update()).await;
        assert_ne!(own.id, first.id);
        assert_eq!(content(&fetch(store, &first).await), "old");
        if was_buried {
            assert!(store.delete_event(own.id).await.unwrap());
            assert_eq!(store.reset_for_retry(&[first.id]).await.unwrap(), 1);
            assert_ne!(create(store, update()).await.id, first.id);
            assert_eq!(content(&fetch(store, &first).await), "old");
        }
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

pub(super) async fn events_to_two_destinations_are_both_delivered(
    store: Store<'_>,
    _: &ManualClock,
) {
    let to = |destination: Option<&str>, text: &'static str| {
        let change = change(Operation::Update, text);
        match destination {
            Some(destination) => change.with_destination(destination),
            None => change,
        }
    };
    let mut rows = Vec::new();
    for destination in [None, Some("a"), Some("b"), None] {
        let first = create(store, to(destination, "1")).await;
        assert_eq!(first.destination.as_deref(), destination);
        let newer = create(store, to(destination, "2")).await;
        assert_eq!(newer.id, first.id, "events to one destination fold");
        assert_eq!(newer.destination.as_deref(), destination);
        rows.push(first.id);
    }
    for id in rows {
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, id);
        assert_eq!(content(&claimed.event), "2");
        complete(store, &claimed).await;
    }
    // All events under one id go to the same destination.
    let once = to(Some("a"), "1");
    create(store, once.clone()).await;
    create(store, once.clone()).await;
    let elsewhere = store.create_event(once.with_destination("b")).await;
    assert!(matches!(elsewhere, Err(EnqueueError::Conflict { .. })));
}

pub(super) async fn nothing_folds_past_an_event_in_between(store: Store<'_>, _: &ManualClock) {
    let first = create(store, change(Operation::Update, "1")).await;
    create(store, NewEvent::new("share", 1, "u1", Operation::Update)).await;
    let last = create(store, change(Operation::Update, "2")).await;
    assert_ne!(last.id, first.id);
    assert_eq!(
        create(store, change(Operation::Update, "3")).await.id,
        last.id
    );

    let of_user = |entity: i64, content| {
        NewEvent::new("draft", entity, "u2", Operation::Update)
            .with_metadata(RawMetadata::from_bytes(content))
            .with_coalesce(Coalesce::Latest)
            .with_order(Order::User)
    };
    create(store, of_user(1, "1")).await;
    create(store, of_user(2, "1")).await;
    let last = create(store, of_user(1, "2")).await;
    assert_eq!(content(&last), "2");
    assert_eq!(count(store).await, 3 + 3);
    assert_eq!(create(store, of_user(1, "3")).await.id, last.id);
    // Another entity or another user does not interfere.
    for (entity, user) in [(9, "u1"), (1, "u3")] {
        let other = NewEvent::new("draft", entity, user, Operation::Update);
        create(store, other.with_coalesce(Coalesce::Latest)).await;
    }
    assert_eq!(count(store).await, 6 + 2);
}

pub(super) async fn only_an_event_that_coalesces_folds(store: Store<'_>, _: &ManualClock) {
    let first = create(store, change(Operation::Update, "1")).await;
    let plain = change(Operation::Update, "2").with_coalesce(Coalesce::Never);
    let plain = create(store, plain).await;
    assert_ne!(plain.id, first.id);
    assert_eq!(content(&fetch(store, &first).await), "1");
}

pub(super) async fn a_fold_takes_the_higher_priority_and_the_earlier_due_time(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = change(Operation::Update, "1")
        .with_delay(10 * SECOND)
        .with_max_attempts(2)
        .with_on_dead(OnDead::Skip);
    let first = create(store, first.with_priority(3)).await;
    let later = change(Operation::Update, "2").with_delay(20 * SECOND);
    let folded = create(store, later.with_priority(-1)).await;
    assert_eq!((folded.id, folded.priority), (first.id, 3));
    assert_eq!(folded.next_attempt_at, first.next_attempt_at);
    assert_eq!(folded.max_attempts, 5, "the larger number");
    assert!(claim(store, 9).await.is_empty());
    let sooner = change(Operation::Update, "3").with_delay(SECOND);
    let folded = create(store, sooner.with_priority(9)).await;
    assert_eq!((folded.id, folded.priority), (first.id, 9));
    assert_eq!(folded.next_attempt_at, after(clock.now(), SECOND));
    let now = create(store, change(Operation::Update, "4")).await;
    assert_eq!((now.id, now.next_attempt_at), (first.id, clock.now()));
    assert_eq!(content(&claim_one(store).await.event), "4");
}

pub(super) async fn enqueueing_a_folded_event_again_changes_nothing(
    store: Store<'_>,
    _: &ManualClock,
) {
    let changes = ["1", "2", "3"].map(|content| change(Operation::Update, content));
    for change in &changes {
        create(store, change.clone()).await;
    }
    let [first, ..] = &changes;
    let again = async || {
        let stored = store.fetch_event(first.id()).await.unwrap().unwrap();
        for change in &changes {
            assert_eq!(create(store, change.clone()).await, stored);
        }
        assert_eq!(content(&stored), "3", "older content does not return");
        assert_eq!(count(store).await, 1);
    };
    again().await;
    let claimed = claim_one(store).await;
    again().await;
    complete(store, &claimed).await;
    again().await;
    // Other content under a known id is an error, even if it is the row's current content.
    for change in &changes {
        for other in ["4", "2", "1"] {
            let other = change.clone().with_metadata(RawMetadata::from_bytes(other));
            if other == *change {
                continue;
            }
            let refused = store.create_event(other).await;
            assert!(
                matches!(refused, Err(EnqueueError::Conflict { event_id }) if event_id == change.id()),
                "{refused:?}"
            );
        }
    }
    // A store without the event knows none of the events that folded into it.
    assert!(store.delete_event(first.id()).await.unwrap());
    let [_, second, third] = changes;
    let anew = create(store, second.clone()).await;
    assert_eq!(anew.id, second.id());
    assert_eq!(create(store, third).await.id, second.id());
    let _ = store.mark_as_processing(second.id(), LEASE).await.unwrap();
}

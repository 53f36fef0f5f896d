//! Keys: a new event takes the place of a waiting one, and cancellations.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, given_back,
    settle,
};
use crate::ManualClock;
use outbox_runtime::store::Disposition;
use outbox_runtime::{
    Cancel, Clock, Coalesce, EnqueueError, EntityId, NewEvent, OnSameKey, Operation, Order,
    OutboxEvent, OutboxStatus, RawMetadata,
};

fn keyed(entity: i64, key: &str) -> NewEvent {
    event(entity).with_key(key)
}

async fn pending(store: Store<'_>) -> Vec<i64> {
    let events = store.fetch_pending_events(None, None).await.unwrap();
    let entity = |event: &OutboxEvent| event.entity_id.as_integer().unwrap();
    events.iter().map(entity).collect()
}

pub(super) async fn an_event_replaces_the_unclaimed_one_with_its_key(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, keyed(1, "avatar")).await;
    assert_eq!(first.dedup_key.as_deref(), Some("avatar"));
    clock.advance(SECOND);
    let newer = NewEvent::new("image", "other", "u1", Operation::Update)
        .with_key("avatar")
        .with_order(Order::User);
    let second = create(store, newer.clone()).await;
    assert_ne!(second.id, first.id);
    assert_eq!(
        fetch(store, &second).await,
        second,
        "it is a row of its own"
    );
    assert_eq!(second.created_at, clock.now());
    assert_eq!(store.fetch_event(first.id).await.unwrap(), None);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.pending_count, statistics.total_events), (1, 1));
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.id, second.id);
    assert_eq!(claimed.event.dedup_key, second.dedup_key);
    complete(store, &claimed).await;
    assert!(claim(store, 9).await.is_empty());
}

pub(super) async fn a_kept_event_stays_and_the_new_one_is_not_enqueued(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = create(store, keyed(1, "avatar")).await;
    let newer = keyed(2, "avatar").with_on_same_key(OnSameKey::Keep);
    assert_eq!(create(store, newer.clone()).await, first);
    assert_eq!(
        create(store, newer.clone()).await,
        first,
        "again, as after an unknown outcome"
    );
    let other = NewEvent::new("note", 3, "u1", Operation::Create).with_id(newer.id());
    let refused = store.create_event(other).await.unwrap_err();
    assert!(
        matches!(refused, EnqueueError::Conflict { .. }),
        "{refused:?}"
    );
    assert_eq!(pending(store).await, [1]);
    let alone = keyed(4, "banner").with_on_same_key(OnSameKey::Keep);
    create(store, alone).await;
    assert_eq!(pending(store).await, [1, 4]);
}

pub(super) async fn only_the_same_key_of_the_same_user_is_replaced(
    store: Store<'_>,
    _: &ManualClock,
) {
    let hostile = [
        "avatar",
        "Avatar",
        "avatar ",
        "%",
        "_",
        "'; --",
        "é",
        "e\u{301}",
        "\u{1F980}",
    ];
    for (entity, key) in hostile.into_iter().enumerate() {
        create(store, keyed(entity as i64, key)).await;
    }
    let of_other = NewEvent::new("note", 90, "u2", Operation::Create).with_key("avatar");
    create(store, of_other).await;
    create(store, event(91)).await;
    assert_eq!(pending(store).await.len(), hostile.len() + 2);
    for (entity, key) in hostile.into_iter().enumerate() {
        create(store, keyed(100 + entity as i64, key)).await;
    }
    let mut left = pending(store).await;
    left.sort_unstable();
    let mut expected: Vec<i64> = (100..100 + hostile.len() as i64).collect();
    expected.splice(0..0, [90, 91]);
    assert_eq!(left, expected);
    let longest = "k".repeat(NewEvent::MAX_KEY_BYTES);
    create(store, keyed(200, &longest)).await;
    for key in ["", "a\nb", "a\0b", &format!("{longest}k")] {
        let refused = store.create_event(keyed(1, key)).await.unwrap_err();
        let named = matches!(refused, EnqueueError::Invalid { field: "key", .. });
        assert!(named, "{key:?}: {refused:?}");
    }
}

pub(super) async fn an_event_that_was_ever_claimed_is_not_replaced(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, keyed(1, "a")).await;
    let held = claim_one(store).await;
    let beside = create(store, keyed(2, "a")).await;
    assert_eq!(
        fetch(store, &held.event).await.status,
        OutboxStatus::Processing
    );
    settle(store, &held, given_back(None)).await;
    // The service may have seen the first; the second is replaced.
    let third = create(store, keyed(3, "a")).await;
    assert_eq!(store.fetch_event(beside.id).await.unwrap(), None);
    let mut claims = claim(store, 9).await;
    assert_eq!(claims.len(), 2);
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    settle(store, &claims.remove(0), failed).await;
    settle(store, &claims.remove(0), buried()).await;
    create(store, keyed(4, "a")).await;
    assert_eq!(
        pending(store).await.len(),
        2,
        "the failed one and the newest"
    );
    assert_eq!(fetch(store, &third).await.status, OutboxStatus::Dead);
}

pub(super) async fn a_replaced_event_frees_its_lane_and_the_new_one_joins_its_own(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, keyed(1, "a")).await;
    create(store, event(1)).await;
    create(store, event(2)).await;
    create(store, keyed(2, "a")).await;
    let first = claim(store, 9).await;
    let found: Vec<_> = first
        .iter()
        .map(|it| it.event.dedup_key.is_some())
        .collect();
    assert_eq!(
        found,
        [false, false],
        "both lanes begin with their unkeyed events"
    );
    for claimed in &first {
        complete(store, claimed).await;
    }
    assert_eq!(claim_one(store).await.event.dedup_key.as_deref(), Some("a"));
}

pub(super) async fn enqueueing_a_replaced_event_again_changes_nothing(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = keyed(1, "a");
    let second = keyed(2, "a");
    let third = keyed(3, "a").with_metadata(RawMetadata::from_bytes("3"));
    for event in [&first, &second, &third] {
        create(store, event.clone()).await;
    }
    for event in [&first, &second, &third, &first] {
        assert_eq!(create(store, event.clone()).await.id, third.id());
    }
    let other = event(9).with_id(first.id());
    let refused = store.create_event(other).await.unwrap_err();
    assert!(
        matches!(refused, EnqueueError::Conflict { .. }),
        "{refused:?}"
    );
    assert_eq!(pending(store).await, [3]);
    complete(store, &claim_one(store).await).await;
    assert_eq!(create(store, first.clone()).await.id, third.id());
    assert!(claim(store, 9).await.is_empty());
}

pub(super) async fn an_explanation_names_the_key_of_an_event_that_may_be_replaced(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, keyed(1, "avatar")).await;
    let words = "; a newer event with the key \"avatar\" replaces it";
    let text = async || {
        let found = store.explain(&EntityId::from(1), None).await.unwrap();
        found.to_string()
    };
    assert!(text().await.contains(words));
    let held = claim_one(store).await;
    assert!(!text().await.contains(words), "it was claimed");
    settle(store, &held, given_back(None)).await;
    assert!(!text().await.contains(words), "it was claimed once");
}

pub(super) async fn an_event_with_a_key_takes_no_part_in_coalescing(
    store: Store<'_>,
    _: &ManualClock,
) {
    let update = |key: Option<&str>| {
        let update = NewEvent::new("draft", 1, "u1", Operation::Update);
        let update = update.with_coalesce(Coalesce::Latest);
        match key {
            Some(key) => update.with_key(key),
            None => update,
        }
    };
    let plain = create(store, update(None)).await;
    let named = create(store, update(Some("a"))).await;
    let last = create(store, update(None)).await;
    assert_ne!(plain.id, named.id);
    assert_ne!(
        named.id, last.id,
        "nothing folds past an event in between, nor into it"
    );
    create(store, update(Some("a"))).await;
    assert_eq!(pending(store).await.len(), 3);
}

pub(super) async fn a_key_moves_with_its_user(store: Store<'_>, _: &ManualClock) {
    let first = create(store, keyed(1, "a")).await;
    store.reassign_user("u1", "u2").await.unwrap();
    assert_eq!(fetch(store, &first).await.dedup_key.as_deref(), Some("a"));
    create(store, keyed(2, "a")).await;
    assert_eq!(pending(store).await, [1, 2]);
    let moved = NewEvent::new("note", 3, "u2", Operation::Create).with_key("a");
    create(store, moved).await;
    assert_eq!(pending(store).await, [2, 3]);
    assert_eq!(store.fetch_event(first.id).await.unwrap(), None);
}

pub(super) async fn a_cancellation_deletes_what_was_never_claimed_and_tells_the_rest(
    store: Store<'_>,
    _: &ManualClock,
) {
    let cancel = Cancel::key("u1", "a");
    let held = create(store, keyed(1, "a")).await;
    let claimed = claim_one(store).await;
    let waiting = create(store, keyed(2, "a")).await;
    let of_other = NewEvent::new("note", 2, "u2", Operation::Create).with_key("a");
    let of_other = create(store, of_other).await;
    let behind = create(store, event(2)).await;
    let answer = store.cancel(&cancel).await.unwrap();
    assert_eq!(answer.canceled, [waiting.id]);
    assert_eq!(answer.too_late, [(held.id, OutboxStatus::Processing)]);
    assert!(!answer.is_complete());
    assert_eq!(store.fetch_event(waiting.id).await.unwrap(), None);
    let next = claim(store, 9).await;
    let ids: Vec<_> = next.iter().map(|it| it.event.id).collect();
    assert_eq!(
        ids,
        [of_other.id, behind.id],
        "what waited behind it goes on"
    );
    complete(store, &claimed).await;
    let answer = store.cancel(&cancel).await.unwrap();
    assert!(answer.canceled.is_empty());
    assert_eq!(answer.too_late, [(held.id, OutboxStatus::Completed)]);
    assert_eq!(
        store.cancel(&Cancel::key("u3", "a")).await.unwrap(),
        Default::default()
    );
}

pub(super) async fn a_cancellation_of_an_entity_covers_all_its_types(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let of = |event_type: &'static str, order| {
        NewEvent::new(event_type, 1, "u1", Operation::Update).with_order(order)
    };
    let mut expected = Vec::new();
    let types = [("note", "task"), ("image", "tag"), ("goal", "step")];
    for (order, (one, other)) in [Order::Entity, Order::User, Order::None]
        .into_iter()
        .zip(types)
    {
        let late = create(store, of(one, order)).await;
        let claimed = store.mark_as_processing(late.id, LEASE).await.unwrap();
        let failed = Disposition::Fail {
            next_attempt_at: clock.now(),
            message: "no".to_owned(),
        };
        settle(store, &claimed, failed).await;
        let early = create(store, of(other, order)).await;
        expected.push((late.id, early.id));
    }
    create(store, event(2)).await;
    let answer = store.cancel(&Cancel::entity("u1", 1)).await.unwrap();
    let canceled: Vec<_> = expected.iter().map(|(_, early)| *early).collect();
    assert_eq!(answer.canceled, canceled);
    let late: Vec<_> = expected
        .iter()
        .map(|(late, _)| (*late, OutboxStatus::Failed))
        .collect();
    assert_eq!(answer.too_late, late);
    let left = store
        .fetch_events_for_entity(&EntityId::from(1), None, None)
        .await
        .unwrap();
    assert_eq!(left.len(), 3);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.pending_count, statistics.failed_count), (1, 3));
}

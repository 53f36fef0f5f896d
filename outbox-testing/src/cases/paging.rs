//! Listings by pages.

use super::helpers::{Store, buried, claim, claim_one, complete, create, event, settle};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::Disposition;
use outbox_runtime::{
    Clock, DeadReason, EntityId, EventFilter, NewEvent, Operation, OutboxEvent, OutboxStatus,
    RawMetadata, Refusal, RefusalClass,
};
use std::time::Duration;

/// All pages of a listing.
async fn listed(store: Store<'_>, filter: &EventFilter, limit: usize) -> Vec<OutboxEvent> {
    let mut events: Vec<OutboxEvent> = Vec::new();
    let mut from = None;
    for _ in 0..1_000 {
        let mut page = store.page(filter, from, limit).await.unwrap();
        assert!(page.events.len() <= limit.max(1), "a page of {limit}");
        events.append(&mut page.events);
        from = page.next;
        if from.is_none() {
            return events;
        }
    }
    panic!("the listing does not end");
}

pub(super) async fn pages_list_each_event_once_and_in_order(store: Store<'_>, _: &ManualClock) {
    assert_eq!(listed(store, &EventFilter::default(), 3).await, []);
    for entity in 1..=7 {
        create(
            store,
            event(entity).with_priority(entity.try_into().unwrap()),
        )
        .await;
    }
    for claimed in claim(store, 2).await {
        complete(store, &claimed).await;
    }
    settle(store, &claim_one(store).await, buried()).await;
    let _ = claim_one(store).await;
    let all = listed(store, &EventFilter::default(), 100).await;
    let entities: Vec<_> = all
        .iter()
        .map(|event| event.entity_id.as_integer())
        .collect();
    assert_eq!(entities, (1..=7).map(Some).collect::<Vec<_>>());
    for limit in 0..=8 {
        assert_eq!(
            listed(store, &EventFilter::default(), limit).await,
            all,
            "{limit}"
        );
    }
    for listed in &all {
        let fetched = store.fetch_event(listed.id).await.unwrap();
        assert_eq!(fetched.as_ref(), Some(listed), "as it is fetched");
    }
}

pub(super) async fn a_page_has_only_selected_events(store: Store<'_>, clock: &ManualClock) {
    let early = create(store, event(1)).await;
    let buried_event = claim_one(store).await;
    settle(store, &buried_event, buried()).await;
    let due = after(clock.now(), Duration::from_secs(1));
    let failed = create(store, NewEvent::new("other", 2, "u2", Operation::Update)).await;
    let failure = Disposition::Fail {
        next_attempt_at: due,
        message: "Timed OUT: \u{dc}".to_owned(),
    };
    settle(store, &claim_one(store).await, failure).await;
    let refused = create(store, event(3)).await;
    let refusal = Some(Refusal::new(RefusalClass::Offline, "no route"));
    let given_back = Disposition::GiveBack {
        next_attempt_at: Some(due),
        refusal,
    };
    settle(store, &claim_one(store).await, given_back).await;
    clock.advance(Duration::from_millis(500));
    let late = clock.now();
    let done = create(store, event(4)).await;
    complete(store, &claim_one(store).await).await;
    let leased = create(store, event(5)).await;
    assert_eq!(claim_one(store).await.event.id, leased.id);
    let waiting = create(store, event(6).with_delay(Duration::from_secs(9))).await;

    let all = [&early, &failed, &refused, &done, &leased, &waiting].map(|event| event.id);
    let select = async |choose: &dyn Fn(&mut EventFilter)| {
        let mut filter = EventFilter::default();
        choose(&mut filter);
        let ids = |events: Vec<OutboxEvent>| events.iter().map(|it| it.id).collect::<Vec<_>>();
        let selected = ids(listed(store, &filter, 2).await);
        // Every store selects what the filter itself does.
        let mut expected = Vec::new();
        for id in all {
            let event = store.fetch_event(id).await.unwrap().unwrap();
            expected.extend(filter.matches(&event).then_some(id));
        }
        assert_eq!(selected, expected, "{filter:?}");
        selected
    };
    let of = |statuses: &'static [OutboxStatus]| {
        move |filter: &mut EventFilter| filter.statuses = statuses.to_vec()
    };
    assert_eq!(select(&of(&[])).await, all);
    let pending = select(&of(&[OutboxStatus::Pending])).await;
    assert_eq!(pending, [refused.id, waiting.id]);
    assert_eq!(select(&of(&[OutboxStatus::Failed])).await, [failed.id]);
    assert_eq!(select(&of(&[OutboxStatus::Processing])).await, [leased.id]);
    assert_eq!(select(&of(&[OutboxStatus::Completed])).await, [done.id]);
    assert_eq!(select(&of(&[OutboxStatus::Dead])).await, [early.id]);
    let some = select(&of(&[OutboxStatus::Dead, OutboxStatus::Processing])).await;
    assert_eq!(some, [early.id, leased.id]);
    let other = select(&|filter| filter.event_type = Some("other".to_owned())).await;
    assert_eq!(other, [failed.id]);
    let other = select(&|filter| filter.user_id = Some("u2".to_owned())).await;
    assert_eq!(other, [failed.id]);
    let third = select(&|filter| filter.entity_id = Some(EntityId::from(3))).await;
    assert_eq!(third, [refused.id]);
    let rejected = select(&|filter| filter.dead_reason = Some(DeadReason::Rejected)).await;
    assert_eq!(rejected, [early.id]);
    let crashed = select(&|filter| filter.dead_reason = Some(DeadReason::CrashLoop)).await;
    assert!(crashed.is_empty());
    let dead_of = |user: &'static str, entity: i64| {
        move |filter: &mut EventFilter| {
            filter.statuses = vec![OutboxStatus::Dead];
            filter.user_id = Some(user.to_owned());
            filter.entity_id = (entity > 0).then(|| EntityId::from(entity));
        }
    };
    assert_eq!(select(&dead_of("u1", 0)).await, [early.id]);
    assert_eq!(select(&dead_of("u1", 1)).await, [early.id]);
    assert!(select(&dead_of("u1", 2)).await.is_empty());
    assert!(select(&dead_of("u2", 0)).await.is_empty());
    let older = select(&|filter| filter.created_before = Some(late)).await;
    assert_eq!(older, [early.id, failed.id, refused.id]);
    let newer = select(&|filter| filter.created_from = Some(late)).await;
    assert_eq!(newer, [done.id, leased.id, waiting.id]);
    for (text, expected) in [
        ("timed out", vec![failed.id]),
        ("OUT: \u{dc}", vec![failed.id]),
        ("out: \u{fc}", vec![]),
        ("offline: NO", vec![refused.id]),
        ("100%", vec![]),
        ("_", vec![]),
    ] {
        let found = select(&|filter| filter.error_text = Some(text.to_owned())).await;
        assert_eq!(found, expected, "{text}");
    }
}

pub(super) async fn a_listing_by_pages_ends_although_events_arrive(
    store: Store<'_>,
    _: &ManualClock,
) {
    for entity in 1..=4 {
        create(store, event(entity)).await;
    }
    let all = EventFilter::default();
    let mut from = None;
    let mut entities = Vec::new();
    for arriving in 100..200 {
        let page = store.page(&all, from, 1).await.unwrap();
        let ids = page.events.iter().map(|event| event.entity_id.as_integer());
        entities.extend(ids.map(Option::unwrap));
        create(store, event(arriving)).await;
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(entities, [1, 2, 3, 4]);
}

pub(super) async fn a_page_ends_before_its_metadata_is_large(store: Store<'_>, _: &ManualClock) {
    let long = format!("\"{}\"", "x".repeat(900_000));
    for entity in 1..=7 {
        let large = event(entity).with_metadata(RawMetadata::from_bytes(long.clone()));
        create(store, large).await;
    }
    let all = EventFilter::default();
    let mut from = None;
    let mut pages = Vec::new();
    loop {
        let page = store.page(&all, from, 100).await.unwrap();
        let ids = page.events.iter().map(|event| event.entity_id.as_integer());
        pages.push(ids.map(Option::unwrap).collect::<Vec<_>>());
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    pages.retain(|page| !page.is_empty());
    assert_eq!(pages, [vec![1, 2, 3, 4, 5], vec![6, 7]]);
}

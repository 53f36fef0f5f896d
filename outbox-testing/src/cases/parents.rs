//! Parents: events that wait until another entity was created at the service.

use super::family::{JOURNAL, LONG, awaited, explain, journal, page};
use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, entities, event, fetch,
    given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::store::{ClaimRequest, Disposition};
use outbox_runtime::{
    Cancel, Clock, Coalesce, EnqueueError, EntityId, Expiry, NewEvent, OnDead, Operation, Order,
    OutboxEvent, OutboxStatus, Parent, Pause, PauseScope, RawMetadata, WaitsFor,
};

pub(super) async fn an_event_waits_until_its_parent_was_delivered(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let parent = create(store, journal(JOURNAL)).await;
    let child = create(store, page(1).with_priority(9)).await;
    assert_eq!(child.parents, [Parent::new("journal", JOURNAL)]);
    assert_eq!(fetch(store, &child).await, child);
    assert_eq!(awaited(store, 1).await, Some(parent.id));
    let held = claim_one(store).await;
    assert_eq!(held.event.id, parent.id, "whatever the priorities");
    assert!(claim(store, 9).await.is_empty(), "it is with a handler");
    let failed = Disposition::Fail {
        next_attempt_at: clock.now() + LONG,
        message: "no".to_owned(),
    };
    settle(store, &held, failed).await;
    assert!(claim(store, 9).await.is_empty(), "it failed");
    clock.advance(LONG);
    let again = claim_one(store).await;
    assert_eq!(again.event.id, parent.id);
    complete(store, &again).await;
    let freed = claim_one(store).await;
    assert_eq!(freed.event.id, child.id);
    assert_eq!(freed.event.parents, child.parents);
    complete(store, &freed).await;
    assert_eq!(explain(store, 1).await, WaitsFor::Nothing);
}

pub(super) async fn without_an_undelivered_creation_there_is_nothing_to_wait_for(
    store: Store<'_>,
    _: &ManualClock,
) {
    // Never enqueued; delivered; of another user, type or id; no creation.
    create(store, journal(JOURNAL)).await;
    complete(store, &claim_one(store).await).await;
    let others = [
        NewEvent::new("journal", JOURNAL, "u2", Operation::Create),
        NewEvent::new("diary", JOURNAL, "u1", Operation::Create).with_order(Order::None),
        journal(JOURNAL + 1),
        NewEvent::new("journal", JOURNAL, "u1", Operation::Update).with_order(Order::None),
    ];
    for other in others {
        create(store, other.with_delay(LONG)).await;
    }
    create(store, page(1)).await;
    let unknown = NewEvent::new("page", 2, "u1", Operation::Create).with_after("journal", 7);
    create(store, unknown).await;
    assert_eq!(entities(&claim(store, 9).await), [1, 2]);
}

pub(super) async fn a_creation_that_is_enqueued_later_is_not_waited_for(
    store: Store<'_>,
    _: &ManualClock,
) {
    let child = create(store, page(1)).await;
    create(store, journal(JOURNAL)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [1, JOURNAL]);
    // Given back, it still waits for nobody.
    settle(store, &claims[0], given_back(None)).await;
    assert_eq!(claim_one(store).await.event.id, child.id);
}

pub(super) async fn events_behind_a_waiting_one_wait_with_it(store: Store<'_>, _: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    create(store, page(1)).await;
    let update = NewEvent::new("page", 1, "u1", Operation::Update);
    create(store, update).await;
    create(store, event(5)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [JOURNAL, 5], "others go on");
    complete(store, &claims[0]).await;
    let first = claim_one(store).await;
    assert_eq!(first.event.operation, Operation::Create);
    assert!(claim(store, 9).await.is_empty());
    complete(store, &first).await;
    assert_eq!(claim_one(store).await.event.operation, Operation::Update);
}

pub(super) async fn a_waiting_event_of_any_order_holds_its_lane_back(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, journal(JOURNAL)).await;
    for (entity, order) in [(1, Order::User), (2, Order::None)] {
        create(store, page(entity).with_order(order)).await;
    }
    let behind = create(store, event(3).with_order(Order::User)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [JOURNAL]);
    complete(store, &claims[0]).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [1, 2]);
    for claim in &claims {
        complete(store, claim).await;
    }
    assert_eq!(claim_one(store).await.event.id, behind.id);
}

pub(super) async fn an_event_waits_for_all_of_its_parents(store: Store<'_>, _: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    create(store, journal(JOURNAL + 1)).await;
    let child = create(store, page(1).with_after("journal", JOURNAL + 1)).await;
    assert_eq!(child.parents.len(), 2);
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [JOURNAL, JOURNAL + 1]);
    complete(store, &claims[0]).await;
    assert!(claim(store, 9).await.is_empty());
    assert_eq!(awaited(store, 1).await, Some(claims[1].event.id));
    complete(store, &claims[1]).await;
    assert_eq!(claim_one(store).await.event.id, child.id);
}

pub(super) async fn parents_may_wait_for_parents(store: Store<'_>, _: &ManualClock) {
    let grandparent = create(store, journal(JOURNAL)).await;
    let folder = |id, of| NewEvent::new("page", id, "u1", Operation::Create).with_after("page", of);
    let parent = create(store, page(1)).await;
    let child = create(store, folder(2, 1)).await;
    // Nobody waits for itself, even if its parent is its own.
    create(store, folder(3, 3)).await;
    let WaitsFor::Parent { event_id, then, .. } = explain(store, 2).await else {
        panic!("it waits for its parent");
    };
    assert_eq!(event_id, parent.id);
    let WaitsFor::Parent { event_id, then, .. } = *then else {
        panic!("which waits for its own");
    };
    assert_eq!((event_id, *then), (grandparent.id, WaitsFor::Worker));
    let mut delivered = Vec::new();
    loop {
        let claims = claim(store, 9).await;
        if claims.is_empty() {
            break;
        }
        delivered.extend(entities(&claims));
        for claim in &claims {
            complete(store, claim).await;
        }
    }
    assert_eq!(delivered, [JOURNAL, 3, 1, 2]);
    assert_eq!(fetch(store, &child).await.status, OutboxStatus::Completed);
}

pub(super) async fn a_creation_that_replaces_one_of_its_entity_is_waited_for_in_its_place(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let draft = |text: &str| {
        let text = RawMetadata::from_bytes(format!("\"{text}\""));
        journal(JOURNAL).with_key("draft").with_metadata(text)
    };
    let replaced = draft("one").with_delay(LONG);
    create(store, replaced.clone()).await;
    create(store, page(1)).await;
    let edit = NewEvent::new("journal", JOURNAL, "u1", Operation::Update);
    let behind = create(store, edit).await;
    // The first child has its place, and the second one has none yet.
    assert!(claim(store, 9).await.is_empty());
    create(store, page(2).with_on_dead(OnDead::Skip)).await;
    clock.advance(SECOND);
    let parent = create(store, draft("two").with_priority(3)).await;
    assert_eq!(
        (parent.entity_id.clone(), parent.priority, &parent.metadata),
        (JOURNAL.into(), 3, &Some(RawMetadata::from_bytes("\"two\"")))
    );
    assert!(parent.next_attempt_at <= clock.now(), "it has no delay");
    assert!(parent.seq < behind.seq, "it has the place of the other one");
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.pending_count, statistics.total_events), (4, 4));
    for child in [1, 2] {
        assert_eq!(awaited(store, child).await, Some(parent.id));
    }
    // Enqueued again, the replaced one is carried by it.
    assert_eq!(create(store, replaced).await.id, parent.id);
    // Later, and then earlier again.
    create(store, draft("three").with_delay(LONG)).await;
    assert!(claim(store, 9).await.is_empty());
    let parent = create(store, draft("four")).await;
    let held = claim_one(store).await;
    assert_eq!(held.event.id, parent.id);
    assert!(claim(store, 9).await.is_empty(), "children and edits wait");
    complete(store, &held).await;
    let mut free = entities(&claim(store, 9).await);
    free.sort_unstable();
    assert_eq!(free, [1, 2, JOURNAL]);
}

pub(super) async fn a_replacing_creation_and_its_children_never_wait_in_a_circle(
    store: Store<'_>,
    _: &ManualClock,
) {
    // In one lane, where a replacing event at the end would wait for its child.
    let in_line = |event: NewEvent| event.with_order(Order::User);
    let draft = || in_line(journal(JOURNAL)).with_key("draft");
    create(store, draft()).await;
    let child = create(store, in_line(page(1))).await;
    let parent = create(store, draft()).await;
    for expected in [parent.id, child.id] {
        let held = claim_one(store).await;
        assert_eq!(held.event.id, expected);
        complete(store, &held).await;
    }
    // One that waits for its child now is enqueued like any other.
    create(store, journal(JOURNAL).with_key("draft")).await;
    create(store, page(2)).await;
    let after = journal(JOURNAL).with_key("draft").with_after("page", 2);
    let parent = create(store, after).await;
    let held = claim_one(store).await;
    assert_eq!(held.event.entity_id, EntityId::from(2));
    complete(store, &held).await;
    assert_eq!(claim_one(store).await.event.id, parent.id);
}

pub(super) async fn a_pause_of_a_parent_explains_its_child(store: Store<'_>, _: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    create(store, page(1)).await;
    let child = NewEvent::new("line", 2, "u1", Operation::Create).with_after("page", 1);
    create(store, child).await;
    store
        .pause(&Pause::event_type("journal").because("bug 4711"))
        .await
        .unwrap();
    for entity in [1, 2] {
        let found = store.explain(&EntityId::from(entity), None).await.unwrap();
        let WaitsFor::Pause(paused) = found.waits_for.at_last() else {
            panic!("{found}");
        };
        assert_eq!(paused.because.as_deref(), Some("bug 4711"));
        assert!(found.to_string().contains("bug 4711"), "{found}");
    }
    // A pause of the child alone says nothing about its parent.
    store
        .unpause(&PauseScope::EventType("journal".to_owned()))
        .await
        .unwrap();
    store.pause(&Pause::event_type("page")).await.unwrap();
    let found = store.explain(&EntityId::from(1), None).await.unwrap();
    assert_eq!(found.waits_for.at_last(), &WaitsFor::Worker);
    // The page is paused, and the line waits for the journal first.
    complete(store, &claim_one(store).await).await;
    for entity in [1, 2] {
        let found = store.explain(&EntityId::from(entity), None).await.unwrap();
        assert!(matches!(found.waits_for.at_last(), WaitsFor::Pause(_)));
    }
}

pub(super) async fn an_event_that_expired_behind_a_dead_letter_is_explained_as_such(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let expiring = |event: NewEvent| event.with_expiry(Expiry::After(SECOND));
    let in_line = |event: NewEvent| event.with_order(Order::User);
    create(store, in_line(journal(JOURNAL))).await;
    create(store, expiring(page(1))).await;
    create(store, in_line(expiring(event(2)))).await;
    let held = claim_one(store).await;
    settle(store, &held, buried()).await;
    for (after, words) in [(0, "; it expires at "), (2, "; it expired at ")] {
        clock.advance(SECOND * after);
        for entity in [1, 2] {
            let found = store.explain(&EntityId::from(entity), None).await.unwrap();
            let at_last = found.waits_for.at_last();
            assert!(matches!(at_last, WaitsFor::Decision { .. }), "{found}");
            assert!(found.to_string().contains(words), "{found}");
        }
    }
    // The decision frees them, and they are handed out to be ended.
    assert_eq!(store.discard(&[held.event.id]).await.unwrap(), 1);
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [1, 2]);
    assert!(claims.iter().all(|it| it.event.is_expired(clock.now())));
}

pub(super) async fn an_older_name_of_the_type_of_a_parent_counts(
    store: Store<'_>,
    _: &ManualClock,
) {
    let old = NewEvent::new("diary", JOURNAL, "u1", Operation::Create);
    let old = create(store, old).await;
    let mut parent = Parent::new("journal", JOURNAL);
    parent.aliases.push("diary".to_owned());
    let child = NewEvent::new("page", 1, "u1", Operation::Create).with_parent(parent);
    let child = create(store, child).await;
    assert_eq!(child.parents[0].aliases, ["diary"]);
    let held = claim_one(store).await;
    assert_eq!(held.event.id, old.id);
    assert!(claim(store, 9).await.is_empty());
    complete(store, &held).await;
    assert_eq!(claim_one(store).await.event.id, child.id);
}

pub(super) async fn a_parent_of_any_order_is_waited_for(store: Store<'_>, _: &ManualClock) {
    for (child, order) in [(1, Order::Entity), (2, Order::User), (3, Order::None)] {
        let parent = JOURNAL + child;
        create(store, journal(parent).with_order(order)).await;
        let page = NewEvent::new("page", child, "u1", Operation::Create);
        create(store, page.with_after("journal", parent)).await;
        let held = claim_one(store).await;
        assert_eq!(held.event.entity_id, EntityId::from(parent));
        assert!(claim(store, 9).await.is_empty(), "{order}");
        complete(store, &held).await;
        let freed = claim_one(store).await;
        assert_eq!(freed.event.entity_id, EntityId::from(child));
        complete(store, &freed).await;
    }
}

pub(super) async fn a_change_folds_into_one_with_the_same_parents(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, journal(JOURNAL)).await;
    let change = |operation, text: &str| {
        NewEvent::new("page", 1, "u1", operation)
            .with_coalesce(Coalesce::Latest)
            .with_metadata(RawMetadata::from_bytes(format!("\"{text}\"")))
    };
    let first = change(Operation::Create, "one").with_after("journal", JOURNAL);
    let first = create(store, first).await;
    let same = change(Operation::Update, "two").with_after("journal", JOURNAL);
    assert_eq!(create(store, same).await.id, first.id);
    let other = create(store, change(Operation::Update, "three")).await;
    assert_ne!(other.id, first.id, "it has other parents");
    let held = claim_one(store).await;
    assert_eq!(held.event.entity_id, EntityId::from(JOURNAL));
    assert!(claim(store, 9).await.is_empty());
    complete(store, &held).await;
    let folded = claim_one(store).await.event;
    assert_eq!(folded.id, first.id);
    assert_eq!(folded.metadata.unwrap().as_str(), Some("\"two\""));
}

pub(super) async fn a_waiting_event_can_be_edited_canceled_and_deleted(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, journal(JOURNAL)).await;
    let edited = create(store, page(1)).await;
    create(store, page(2)).await;
    let deleted = create(store, page(3)).await;
    let held = claim_one(store).await;
    let mut change = fetch(store, &edited).await;
    change.priority = 7;
    change.next_attempt_at = clock.now();
    store.update_event(&change).await.unwrap();
    let canceled = store.cancel(&Cancel::entity("u1", 2)).await.unwrap();
    assert_eq!(canceled.canceled.len(), 1);
    assert!(store.delete_event(deleted.id).await.unwrap());
    assert!(claim(store, 9).await.is_empty());
    complete(store, &held).await;
    let freed = claim_one(store).await;
    assert_eq!((freed.event.id, freed.event.priority), (edited.id, 7));
    // A new event in the place of a deleted one waits for nobody.
    create(store, event(4)).await;
    assert_eq!(entities(&claim(store, 9).await), [4]);
}

pub(super) async fn a_waiting_event_is_due_when_it_is_free(store: Store<'_>, clock: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    create(store, page(1).with_delay(LONG)).await;
    let held = claim_one(store).await;
    let request = ClaimRequest::new(9, LEASE);
    // Placed, it tells nobody to wake up but for the end of the lease.
    assert!(claim(store, 9).await.is_empty());
    let due = store.next_due(&request).await.unwrap();
    assert_eq!(due, Some(held.lease.expires_at));
    complete(store, &held).await;
    assert!(claim(store, 9).await.is_empty(), "it is due later");
    let due = store.next_due(&request).await.unwrap();
    assert_eq!(due, Some(clock.now() + LONG));
    clock.advance(LONG);
    assert_eq!(entities(&claim(store, 9).await), [1]);
}

pub(super) async fn parents_and_children_move_to_another_user_together(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, journal(JOURNAL)).await;
    create(store, page(1)).await;
    let held = claim_one(store).await;
    settle(store, &held, given_back(None)).await;
    assert_eq!(store.reassign_user("u1", "u9").await.unwrap(), 2);
    let held = claim_one(store).await;
    assert_eq!(held.event.entity_id, EntityId::from(JOURNAL));
    assert!(claim(store, 9).await.is_empty());
    complete(store, &held).await;
    let freed = claim_one(store).await.event;
    assert_eq!((freed.entity_id, &*freed.user_id), (1.into(), "u9"));
}

pub(super) async fn a_waiting_event_counts_as_pending(store: Store<'_>, _: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    let child = create(store, page(1)).await;
    let _held = claim_one(store).await;
    assert!(claim(store, 9).await.is_empty());
    let statistics = store.statistics(None).await.unwrap();
    let counts = (statistics.pending_count, statistics.processing_count);
    assert_eq!(counts, (1, 1));
    let pending: Vec<OutboxEvent> = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(pending, std::slice::from_ref(&child));
    let refused = store.mark_as_processing(child.id, LEASE).await.unwrap_err();
    assert!(refused.to_string().contains("waits"), "{refused}");
}

pub(super) async fn parents_that_no_row_can_hold_are_refused(store: Store<'_>, _: &ManualClock) {
    let most = i64::try_from(Parent::MOST).unwrap();
    let many = (0..=most).fold(event(1), |event, id| event.with_after("journal", id));
    let id = "e".repeat(NewEvent::MAX_KEY_BYTES + 1);
    for refused in [
        many,
        event(1).with_after("", 1),
        event(1).with_after("a\nb", 1),
        event(1).with_after("journal", ""),
        event(1).with_after("journal", id),
    ] {
        let refused = store.create_event(refused).await.unwrap_err();
        let named = matches!(
            refused,
            EnqueueError::Invalid {
                field: "parents",
                ..
            }
        );
        assert!(named, "{refused:?}");
    }
    let twice = event(2).with_after("journal", 1).with_after("journal", "1");
    assert_eq!(create(store, twice).await.parents.len(), 1);
}

pub(super) async fn the_id_of_a_child_can_be_enqueued_again(store: Store<'_>, _: &ManualClock) {
    create(store, journal(JOURNAL)).await;
    let child = page(1);
    let first = create(store, child.clone()).await;
    assert_eq!(create(store, child).await, first);
    complete(store, &claim_one(store).await).await;
    complete(store, &claim_one(store).await).await;
    assert!(claim(store, 9).await.is_empty());
}

//! Selectors of a claim, and claims in an unusual order.

use std::time::Duration;

use super::helpers::{
    LEASE, SECOND, Store, claim_one, create, entities, event, fetch, given_back, one_of_each,
    settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{ClaimOrder, ClaimRequest, Disposition, EventTypes, Selector};
use outbox_runtime::{Clock, NewEvent, Operation, OutboxEvent};

fn only(types: &[&str]) -> EventTypes {
    EventTypes::Only(types.iter().map(|&word| word.to_owned()).collect())
}

fn all_except(types: &[&str]) -> EventTypes {
    EventTypes::AllExcept(types.iter().map(|&word| word.to_owned()).collect())
}

/// Every combination of conditions.
fn selectors() -> Vec<Selector> {
    let types = [
        None,
        Some(only(&["note"])),
        Some(only(&["task", "other"])),
        Some(only(&[])),
        Some(all_except(&["note"])),
        Some(all_except(&[])),
    ];
    let destinations: [Option<&[Option<&str>]>; 6] = [
        None,
        Some(&[None]),
        Some(&[Some("a")]),
        Some(&[Some("elsewhere")]),
        Some(&[Some("elsewhere"), None, Some("b")]),
        Some(&[]),
    ];
    let users = [None, Some("u1"), Some("u9")];
    let mut selectors = Vec::new();
    for types in types {
        for destinations in destinations {
            for user in users {
                let mut selector = Selector::new();
                if let Some(types) = types.clone() {
                    selector = selector.event_types(types);
                }
                if let Some([destination]) = destinations {
                    selector = selector.destination(*destination);
                } else if let Some(several) = destinations {
                    let several = several.iter().map(|one| one.map(str::to_owned));
                    selector = selector.destinations(several.collect());
                }
                if let Some(user) = user {
                    selector = selector.user(user);
                }
                selectors.push(selector);
            }
        }
    }
    selectors
}

/// Claims with a request, gives the events back, and returns their entities.
async fn taken(store: Store<'_>, request: &ClaimRequest) -> Vec<i64> {
    let claims = store.claim(request).await.unwrap();
    for claim in &claims {
        settle(store, claim, given_back(None)).await;
    }
    let mut entities = entities(&claims);
    entities.sort_unstable();
    entities
}

/// Checks that a request takes exactly the `meant` ones of `events`, and that its next due time
/// agrees.
async fn takes(
    store: Store<'_>,
    request: &ClaimRequest,
    events: &[OutboxEvent],
    meant: impl Fn(&OutboxEvent) -> bool,
) {
    let expected: Vec<i64> = events
        .iter()
        .filter(|event| meant(event))
        .map(|event| event.entity_id.as_integer().unwrap())
        .collect();
    assert_eq!(taken(store, request).await, expected, "{request:?}");
    let due = store.next_due(request).await.unwrap();
    assert_eq!(due.is_some(), !expected.is_empty(), "due: {request:?}");
}

pub(super) async fn a_claim_takes_only_selected_events(store: Store<'_>, _: &ManualClock) {
    let events = one_of_each(store).await;
    let all = ClaimRequest::new(99, LEASE);
    for selector in selectors() {
        let request = all.clone().only(selector.clone());
        takes(store, &request, &events, |event| selector.selects(event)).await;
        let of_u1 = request.with_user("u1").with_event_types(only(&["task"]));
        takes(store, &of_u1, &events, |event| {
            selector.selects(event) && event.user_id == "u1" && event.event_type == "task"
        })
        .await;
    }
    let to_a = Selector::new().destination(Some("a"));
    let of_u2 = Selector::new().user("u2");
    let both = all.only(to_a.clone()).only(of_u2.clone());
    takes(store, &both, &events, |event| {
        to_a.selects(event) && of_u2.selects(event)
    })
    .await;
}

pub(super) async fn a_claim_takes_no_excluded_event(store: Store<'_>, _: &ManualClock) {
    let events = one_of_each(store).await;
    let all = ClaimRequest::new(99, LEASE);
    let selectors = selectors();
    for selector in &selectors {
        let request = all.clone().except(selector.clone());
        takes(store, &request, &events, |event| !selector.selects(event)).await;
    }
    // Several selectors at once, also overlapping ones.
    for step in 1..selectors.len() {
        let some: Vec<&Selector> = selectors.iter().skip(step).step_by(step).collect();
        let request = some.iter().fold(all.clone(), |request, selector| {
            request.except((*selector).clone())
        });
        takes(store, &request, &events, |event| {
            !some.iter().any(|selector| selector.selects(event))
        })
        .await;
    }
    let narrow = all
        .only(Selector::new().event_types(only(&["note"])))
        .except(Selector::new().destination(None))
        .except(Selector::new().destination(Some("b")).user("u1"));
    takes(store, &narrow, &events, |event| {
        let out = event.destination.as_deref() == Some("b") && event.user_id == "u1";
        event.event_type == "note" && event.destination.is_some() && !out
    })
    .await;
}

pub(super) async fn any_number_of_selectors_can_be_excluded(store: Store<'_>, _: &ManualClock) {
    let events = one_of_each(store).await;
    let mut request = ClaimRequest::new(99, LEASE);
    for number in 0..400 {
        let name = format!("x{number}");
        let types = only(&[&name]);
        for selector in [
            Selector::new().user(&name),
            Selector::new().destination(Some(&name)),
            Selector::new().event_types(types.clone()),
            Selector::new().event_types(types).destination(Some("a")),
            Selector::new().destination(Some(&name)).user("u1"),
        ] {
            request = request.except(selector);
        }
    }
    request = request.except(Selector::new().destination(Some("a")).user("u1"));
    takes(store, &request, &events, |event| {
        event.destination.as_deref() != Some("a") || event.user_id != "u1"
    })
    .await;
}

pub(super) async fn the_next_due_time_covers_only_requested_events(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for (entity, destination) in [(1, "a"), (2, "b")] {
        let delay = SECOND * u32::try_from(entity).unwrap();
        let event = event(entity)
            .with_destination(destination)
            .with_delay(delay);
        create(store, event).await;
    }
    let now = clock.now();
    let all = ClaimRequest::new(9, LEASE);
    let to_b = Selector::new().destination(Some("b"));
    for (request, expected) in [
        (all.clone(), Some(SECOND)),
        (all.clone().only(to_b.clone()), Some(2 * SECOND)),
        (all.clone().except(to_b.clone()), Some(SECOND)),
        (all.clone().only(to_b.clone()).except(to_b), None),
        (all.clone().except(Selector::new()), None),
        (all.avoiding_users(vec!["u1".to_owned()]), Some(SECOND)),
    ] {
        let expected = expected.map(|delay| after(now, delay));
        let due = store.next_due(&request).await.unwrap();
        assert_eq!(due, expected, "{request:?}");
    }
}

pub(super) async fn selectors_apply_to_exchanges_and_to_turns(store: Store<'_>, _: &ManualClock) {
    let events = one_of_each(store).await;
    let out = Selector::new().destination(None);
    let request = ClaimRequest::new(99, LEASE)
        .with_turns(50, "u1")
        .except(out.clone());
    takes(store, &request, &events, |event| !out.selects(event)).await;
    let exchange = store.settle_and_claim(Vec::new(), &request).await;
    assert_eq!(exchange.claimed.unwrap().len(), 8);
}

pub(super) async fn avoided_users_come_last(store: Store<'_>, _: &ManualClock) {
    for (entity, user) in [(1, "u1"), (2, "u2"), (3, "u3"), (4, "u1")] {
        let event = NewEvent::new("note", entity, user, Operation::Create);
        create(store, event.with_priority(9 - entity)).await;
    }
    let avoided = |users: &[&str]| {
        let users = users.iter().map(|&user| user.to_owned()).collect();
        ClaimRequest::new(1, LEASE).avoiding_users(users)
    };
    assert_eq!(taken(store, &avoided(&[])).await, [1]);
    assert_eq!(taken(store, &avoided(&["u1"])).await, [2]);
    assert_eq!(taken(store, &avoided(&["u2", "u1"])).await, [3]);
    assert_eq!(taken(store, &avoided(&["u3", "u2", "u1"])).await, [1]);
    // In any order: the newest event belongs to the avoided user.
    for (entity, user) in [(5, "u2"), (6, "u1")] {
        let event = NewEvent::new("note", entity, user, Operation::Create);
        create(store, event.with_priority(-1)).await;
    }
    let newest = avoided(&["u1"]).in_order(ClaimOrder::Newest);
    assert_eq!(taken(store, &newest).await, [5]);
    // An avoided user is still served if the request asks for no other.
    assert_eq!(taken(store, &avoided(&["u1"]).with_user("u1")).await, [1]);
    let only_u1 = avoided(&["u1"]).only(Selector::new().user("u1"));
    assert_eq!(taken(store, &only_u1).await, [1]);
    // A user who is left out is never served.
    let none = avoided(&["u1"])
        .only(Selector::new().user("u1"))
        .without_users(vec!["u1".to_owned()]);
    assert!(taken(store, &none).await.is_empty());
    // Avoided users fill the remaining places.
    let many = ClaimRequest::new(4, LEASE).avoiding_users(vec!["u1".to_owned()]);
    let claims = store.claim(&many).await.unwrap();
    assert_eq!(entities(&claims), [2, 3, 5, 1]);
}

/// Claims one event in this order, and gives it back after a second.
async fn probe(store: Store<'_>, clock: &ManualClock, order: ClaimOrder) -> i64 {
    clock.advance(SECOND);
    let request = ClaimRequest::new(1, LEASE).in_order(order);
    let claims = store.claim(&request).await.unwrap();
    for claim in &claims {
        settle(store, claim, given_back(None)).await;
    }
    let [entity] = entities(&claims)[..] else {
        panic!("{} events were claimed", claims.len());
    };
    entity
}

pub(super) async fn a_claim_for_the_newest_takes_unattempted_events_then_the_least_recent(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1).with_priority(9)).await;
    create(store, event(2)).await;
    create(store, event(3).with_priority(-9)).await;
    // An event behind another and an event that is not due are no candidates.
    create(store, event(3)).await;
    create(store, event(4).with_delay(Duration::from_secs(900))).await;
    let order = ClaimOrder::Newest;
    for expected in [3, 2, 1, 3, 2, 1] {
        assert_eq!(probe(store, clock, order).await, expected);
    }
    create(store, event(5)).await;
    for expected in [5, 3, 2] {
        assert_eq!(probe(store, clock, order).await, expected);
    }
    // An event that failed and is due again counts as attempted.
    clock.advance(SECOND);
    let request = ClaimRequest::new(1, LEASE).in_order(order);
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(entities(&claims), [1]);
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    };
    settle(store, &claims[0], failed).await;
    for expected in [5, 3, 2, 1] {
        assert_eq!(probe(store, clock, order).await, expected);
    }
}

pub(super) async fn a_claim_for_the_least_recent_takes_unattempted_events_first(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    create(store, event(3).with_priority(9)).await;
    create(store, event(3)).await;
    let order = ClaimOrder::LeastRecent;
    for expected in [3, 1, 2, 3, 1] {
        assert_eq!(probe(store, clock, order).await, expected);
    }
    create(store, event(4)).await;
    for expected in [4, 2, 3, 1, 4] {
        assert_eq!(probe(store, clock, order).await, expected);
    }
}

pub(super) async fn a_claim_order_applies_to_requested_events_only(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let events = one_of_each(store).await;
    let notes_to_a = Selector::new()
        .event_types(only(&["note"]))
        .destination(Some("a"));
    let expected: Vec<i64> = events
        .iter()
        .filter(|event| notes_to_a.selects(event))
        .map(|event| event.entity_id.as_integer().unwrap())
        .collect();
    assert_eq!(expected, [2, 3]);
    for (order, in_turn) in [
        (ClaimOrder::Newest, [3, 2, 3, 2]),
        (ClaimOrder::LeastRecent, [3, 2, 3, 2]),
    ] {
        for expected in in_turn {
            clock.advance(SECOND);
            let request = ClaimRequest::new(1, LEASE)
                .only(notes_to_a.clone())
                .in_order(order);
            assert_eq!(taken(store, &request).await, [expected], "{order:?}");
        }
    }
    // If the newest rows do not match, the claim looks further back.
    for entity in 100..500 {
        let other = NewEvent::new("task", entity, "u1", Operation::Create);
        create(store, other).await;
    }
    let to_b = Selector::new()
        .event_types(only(&["note"]))
        .destination(Some("b"));
    for order in [ClaimOrder::Newest, ClaimOrder::LeastRecent] {
        let request = ClaimRequest::new(1, LEASE)
            .only(to_b.clone())
            .in_order(order);
        let claims = store.claim(&request).await.unwrap();
        assert_eq!(claims.len(), 1, "{order:?}");
        assert!(to_b.selects(&fetch(store, &claims[0].event).await));
    }
    let _ = claim_one(store).await;
}

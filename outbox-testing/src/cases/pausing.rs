//! Pauses: events that claims leave out.

use chrono::TimeDelta;

use super::helpers::{
    LEASE, SECOND, Store, claim, complete, create, entities, event, fetch, given_back, one_of_each,
    settle,
};
use crate::ManualClock;
use outbox_runtime::store::{ClaimOrder, ClaimRequest, Disposition, Settlement};
use outbox_runtime::{Clock, NewEvent, OutboxStatus, Pause, PauseScope, StoreErrorKind, WaitsFor};

/// Claims with the request, gives the events back, and returns their entities in order.
async fn taken(store: Store<'_>, request: &ClaimRequest) -> Vec<i64> {
    let exchange = store.settle_and_claim(Vec::new(), request).await;
    exchange.settled.unwrap();
    let claims = exchange.claimed.unwrap();
    for claim in &claims {
        settle(store, claim, given_back(None)).await;
    }
    let mut entities = entities(&claims);
    entities.sort_unstable();
    entities
}

pub(super) async fn a_paused_event_is_not_claimed(store: Store<'_>, _: &ManualClock) {
    let events = one_of_each(store).await;
    let all = ClaimRequest::new(99, LEASE);
    let requests = [
        all.clone(),
        all.clone().with_turns(50, ""),
        all.clone().with_user("u1"),
        all.clone().avoiding_users(vec!["u2".to_owned()]),
    ];
    let pauses = [
        Pause::everything(),
        Pause::event_type("note"),
        Pause::user("u1"),
        Pause::destination("a"),
        Pause::user("nobody"),
    ];
    for pause in &pauses {
        store.pause(pause).await.unwrap();
        for request in &requests {
            let free = events.iter().filter(|event| {
                request.user_id().is_none_or(|user| user == event.user_id)
                    && !pause.scope().contains(event)
            });
            let free: Vec<i64> = free
                .map(|event| event.entity_id.as_integer().unwrap())
                .collect();
            assert_eq!(taken(store, request).await, free, "{pause:?} {request:?}");
            let due = store.next_due(request).await.unwrap();
            assert_eq!(due.is_some(), !free.is_empty(), "{pause:?} {request:?}");
        }
        for order in [ClaimOrder::Newest, ClaimOrder::LeastRecent] {
            let probe = ClaimRequest::new(1, LEASE).in_order(order);
            let claims = store.claim(&probe).await.unwrap();
            for claim in &claims {
                assert!(!pause.scope().contains(&claim.event), "{pause:?} {order:?}");
                settle(store, claim, given_back(None)).await;
            }
            assert_eq!(claims.is_empty(), *pause.scope() == PauseScope::Everything);
        }
        assert!(store.unpause(pause.scope()).await.unwrap());
        assert_eq!(taken(store, &all).await.len(), events.len());
    }
}

pub(super) async fn pauses_add_up(store: Store<'_>, _: &ManualClock) {
    one_of_each(store).await;
    let all = ClaimRequest::new(99, LEASE);
    store.pause(&Pause::event_type("note")).await.unwrap();
    store.pause(&Pause::user("u1")).await.unwrap();
    store.pause(&Pause::destination("b")).await.unwrap();
    // Tasks of u2, without a destination or to `a`.
    assert_eq!(taken(store, &all).await, [7, 9]);
    let user = PauseScope::User("u1".to_owned());
    assert!(store.unpause(&user).await.unwrap());
    assert!(!store.unpause(&user).await.unwrap(), "lifted already");
    assert_eq!(taken(store, &all).await, [6, 7, 8, 9]);
    let of_type = PauseScope::EventType("note".to_owned());
    assert!(store.unpause(&of_type).await.unwrap());
    assert_eq!(taken(store, &all).await.len(), 8);
    // Many at once.
    for number in 0..150 {
        let name = format!("user {number}");
        store.pause(&Pause::user(name)).await.unwrap();
    }
    assert_eq!(taken(store, &all).await.len(), 8);
    assert_eq!(store.paused().await.unwrap().len(), 151);
}

pub(super) async fn a_pause_ends_by_itself_at_its_time(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    let until = clock.now() + TimeDelta::seconds(10);
    store.pause(&Pause::user("u1").until(until)).await.unwrap();
    let request = ClaimRequest::new(9, LEASE);
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(store.next_due(&request).await.unwrap(), Some(until));
    clock.set(until - TimeDelta::microseconds(1));
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(store.paused().await.unwrap().len(), 1);
    clock.set(until);
    assert_eq!(store.paused().await.unwrap(), []);
    let scope = PauseScope::User("u1".to_owned());
    assert!(!store.unpause(&scope).await.unwrap(), "it has ended");
    assert_eq!(store.claim(&request).await.unwrap().len(), 1);
}

pub(super) async fn pauses_are_listed_with_who_when_and_why(store: Store<'_>, clock: &ManualClock) {
    assert_eq!(store.paused().await.unwrap(), []);
    let began = clock.now();
    let until = began + TimeDelta::hours(1);
    let user = Pause::user("u1")
        .by("ada")
        .because("case 4711")
        .until(until);
    store.pause(&user).await.unwrap();
    clock.advance(SECOND);
    let pauses = [
        Pause::destination("b"),
        Pause::event_type("note").because("a \"new\" schema\nfollows"),
        Pause::everything().by("the deployment"),
    ];
    for pause in &pauses {
        store.pause(pause).await.unwrap();
    }
    let [to_b, notes, everything] = pauses.map(|pause| pause.begin(clock.now()));
    let mut expected = vec![everything, notes, user.begin(began), to_b];
    assert_eq!(store.paused().await.unwrap(), expected);

    // A pause of the same scope replaces the earlier one.
    clock.advance(SECOND);
    let again = Pause::user("u1").because("still");
    store.pause(&again).await.unwrap();
    expected[2] = again.begin(clock.now());
    assert_eq!(store.paused().await.unwrap(), expected);
}

pub(super) async fn an_invalid_pause_is_refused(store: Store<'_>, clock: &ManualClock) {
    let invalid = [
        Pause::user(""),
        Pause::event_type("a\nb"),
        Pause::destination("x".repeat(NewEvent::MAX_KEY_BYTES + 1)),
        Pause::everything().by(""),
        Pause::everything().because("a\0b"),
        Pause::everything().because("x".repeat(Pause::MAX_REASON_BYTES + 1)),
        Pause::everything().until(clock.now()),
    ];
    for pause in invalid {
        let refused = store.pause(&pause).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::InvalidArgument, "{pause:?}");
    }
    assert_eq!(store.paused().await.unwrap(), []);
}

pub(super) async fn a_change_of_pauses_wakes_a_waiter(store: Store<'_>, _: &ManualClock) {
    let seen = store.revision();
    store.pause(&Pause::everything()).await.unwrap();
    assert_ne!(store.changed(seen).await, seen, "paused");
    let seen = store.revision();
    store.unpause(&PauseScope::Everything).await.unwrap();
    assert_ne!(store.changed(seen).await, seen, "claimable again");
}

pub(super) async fn an_event_with_a_handler_is_finished_during_a_pause(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for entity in 1..=3 {
        create(store, event(entity)).await;
    }
    create(store, event(1)).await;
    let claims = claim(store, 9).await;
    store.pause(&Pause::everything()).await.unwrap();
    let [first, second, third] = &claims[..] else {
        panic!("{claims:?}");
    };
    complete(store, first).await;
    let renewed = store.extend(&[second.lease], LEASE).await.unwrap();
    assert!(renewed[0].is_some(), "a lease is renewed");
    let settlements = vec![Settlement {
        lease: second.lease,
        disposition: Disposition::Complete,
    }];
    let request = ClaimRequest::new(9, LEASE);
    let exchange = store.settle_and_claim(settlements, &request).await;
    exchange.settled.unwrap();
    let claimed = exchange.claimed.unwrap();
    assert!(claimed.is_empty(), "{claimed:?}");
    assert_eq!(
        fetch(store, &second.event).await.status,
        OutboxStatus::Completed
    );
    // A dead worker's event is rescued, and waits for the end of the pause.
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    assert!(claim(store, 9).await.is_empty());
    let manual = store.mark_as_processing(third.event.id, LEASE).await;
    settle(store, &manual.unwrap(), given_back(None)).await;
    store.unpause(&PauseScope::Everything).await.unwrap();
    assert_eq!(claim(store, 9).await.len(), 2);
}

pub(super) async fn an_explanation_names_the_pause(store: Store<'_>, clock: &ManualClock) {
    let delayed = event(1).with_delay(SECOND * 20);
    let created = create(store, delayed).await;
    let explain = async || {
        let explanation = store.explain(&1.into(), Some("u1")).await.unwrap();
        explanation.waits_for
    };
    let due_time = WaitsFor::DueTime {
        at: created.next_attempt_at,
        last_error: None,
    };
    let now = clock.now();
    let short = Pause::user("u1").until(now + TimeDelta::seconds(5));
    store.pause(&short).await.unwrap();
    assert_eq!(explain().await, due_time, "the pause ends first");
    let long = Pause::event_type("note").until(now + TimeDelta::seconds(30));
    store.pause(&long).await.unwrap();
    let held = WaitsFor::Pause(Box::new(long.begin(now)));
    assert_eq!(explain().await, held);
    store.pause(&Pause::destination("a")).await.unwrap();
    assert_eq!(explain().await, held, "the event has no destination");
    create(store, event(2)).await;
    let endless = Pause::everything().because("an audit").by("ada");
    store.pause(&endless).await.unwrap();
    let held = WaitsFor::Pause(Box::new(endless.begin(now)));
    assert_eq!(explain().await, held);
    assert!(held.to_string().contains("by ada"), "{held}");
    store.unpause(&PauseScope::Everything).await.unwrap();
    clock.advance(SECOND * 30);
    assert_eq!(explain().await, WaitsFor::Worker);
    let mut claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [2, 1]);
    let held = claims.remove(1);
    store.pause(&endless).await.unwrap();
    assert!(matches!(explain().await, WaitsFor::Handler { .. }));
    complete(store, &held).await;
    assert_eq!(explain().await, WaitsFor::Nothing);
}

//! Following: leasing the events behind a leased one.
//!
//! A store that cannot follow leases none, which is right for it. The cases then look at nothing
//! else, and `a_store_that_cannot_follow_leases_no_followers` compares its answers with what it
//! says that it can.

use super::helpers::{LEASE, SECOND, Store, claim, claim_one, complete, create, event, fetch};
use super::lane::{change, follow, seqs};
use crate::ManualClock;
use outbox_runtime::store::{Claim, ClaimRequest, FollowRequest, Lease};
use outbox_runtime::{
    Cancel, Clock, Coalesce, Expiry, NewEvent, Operation, Order, OutboxStatus, Pause, RawMetadata,
    WaitsFor,
};

pub(super) async fn a_store_that_cannot_follow_leases_no_followers(
    store: Store<'_>,
    _: &ManualClock,
) {
    for _ in 0..2 {
        create(store, change(1)).await;
    }
    let first = claim_one(store).await;
    let followers = follow(store, &[&first], 9).await;
    assert_eq!(followers.len(), usize::from(store.can_follow()));
}

pub(super) async fn followers_come_in_order_and_without_gaps(store: Store<'_>, _: &ManualClock) {
    for entity in [1, 2, 1, 2, 1] {
        // Of higher and higher priority, which counts for the first event of a lane.
        create(store, change(entity).with_priority(entity as i32)).await;
    }
    let firsts = claim(store, 9).await;
    let [second, first] = &firsts[..] else {
        panic!("the first of each entity");
    };
    let followers = follow(store, &[first, second], 9).await;
    if !store.can_follow() {
        return;
    }
    let expected = [
        first.event.seq + 2,
        first.event.seq + 4,
        second.event.seq + 2,
    ];
    assert_eq!(seqs(&followers), expected, "lane by lane");
    assert!(claim(store, 9).await.is_empty());
    assert!(
        follow(store, &[first], 9).await.is_empty(),
        "all are leased"
    );
    // Those that were enqueued since follow the last one.
    let newer = create(store, change(1)).await;
    assert_eq!(seqs(&follow(store, &[&followers[1]], 9).await), [newer.seq]);
}

pub(super) async fn followers_share_the_lease_that_they_follow(
    store: Store<'_>,
    clock: &ManualClock,
) {
    for _ in 0..2 {
        create(store, change(1)).await;
    }
    let first = claim_one(store).await;
    clock.advance(SECOND);
    let Some(follower) = follow(store, &[&first], 9).await.pop() else {
        return;
    };
    assert_eq!(follower.lease.token, first.lease.token);
    assert_eq!(follower.lease.expires_at, first.lease.expires_at);
    assert_eq!(follower.event.attempt_count, 1);
    assert_eq!(follower.event.status, OutboxStatus::Processing);
    assert_eq!(follower.event.last_attempt_at, Some(clock.now()));
    assert_eq!(fetch(store, &follower.event).await, follower.event);
    let statistics = store.statistics(None).await.unwrap();
    let counts = (statistics.processing_count, statistics.pending_count);
    assert_eq!(counts, (2, 0));
    let request = ClaimRequest::new(9, LEASE);
    let next_due = store.next_due(&request).await.unwrap();
    assert_eq!(next_due, Some(first.lease.expires_at));
    // After a renewal of the first, those that follow later end with it.
    clock.advance(SECOND);
    let leases = [first.lease, follower.lease];
    let renewed = store.extend(&leases, LEASE).await.unwrap();
    let ends = clock.now() + LEASE;
    assert!(
        renewed
            .iter()
            .flatten()
            .all(|lease| lease.expires_at == ends)
    );
    create(store, change(1)).await;
    let later = follow(store, &[&follower], 9).await;
    assert_eq!(later[0].lease.expires_at, ends);
}

pub(super) async fn an_event_that_goes_elsewhere_or_later_does_not_follow(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let ends = clock.now() + LEASE * 2;
    let others: [fn(NewEvent) -> NewEvent; 4] = [
        |event| event.with_destination("a"),
        |event| event.with_delay(LEASE),
        |event| event.with_max_attempts(1),
        |event| event.with_order(Order::None),
    ];
    for (number, other) in others.into_iter().enumerate() {
        let user = format!("w{number}");
        let event = || NewEvent::new("note", 1, &*user, Operation::Update);
        create(store, event()).await;
        create(store, other(event())).await;
        create(store, event()).await;
        let first = claim_of(store, &user).await;
        let followers = follow(store, &[&first], 9).await;
        assert!(followers.is_empty(), "{number}: {followers:?}");
    }
    // Of another type, and expired.
    create(store, change(1)).await;
    let of_type = |event_type| NewEvent::new(event_type, 1, "u1", Operation::Update);
    create(store, of_type("task")).await;
    create(store, change(2)).await;
    create(store, change(2).with_expiry(Expiry::At(ends))).await;
    create(store, change(2)).await;
    let firsts = claim(store, 9).await;
    clock.set(ends);
    let leases: Vec<Lease> = firsts.iter().map(|claim| claim.lease).collect();
    let renewed = store.extend(&leases, LEASE).await.unwrap();
    assert!(renewed.iter().all(Option::is_some));
    let firsts: Vec<&Claim> = firsts
        .iter()
        .filter(|it| it.event.user_id == "u1")
        .collect();
    assert!(follow(store, &firsts, 9).await.is_empty());
}

async fn claim_of(store: Store<'_>, user: &str) -> Claim {
    let request = ClaimRequest::new(1, LEASE).with_user(user);
    store.claim(&request).await.unwrap().remove(0)
}

pub(super) async fn an_event_that_is_held_back_does_not_follow(store: Store<'_>, _: &ManualClock) {
    // By the creation of its parent.
    create(store, change(1)).await;
    let parent = NewEvent::new("journal", 100, "u1", Operation::Create);
    create(store, parent.with_delay(LEASE)).await;
    create(store, change(1).with_after("journal", 100)).await;
    let first = claim_one(store).await;
    assert!(follow(store, &[&first], 9).await.is_empty(), "a parent");
    store.delete_all_events_for_user("u1").await.unwrap();
    // By an older event of another order.
    create(store, change(1)).await;
    let other = change(1).with_order(Order::User);
    create(store, other.with_delay(LEASE)).await;
    create(store, change(1)).await;
    let first = claim_one(store).await;
    assert!(
        follow(store, &[&first], 9).await.is_empty(),
        "another order"
    );
    store.delete_all_events_for_user("u1").await.unwrap();
    // By a pause since the first was claimed.
    create(store, change(1)).await;
    create(store, change(1)).await;
    let first = claim_one(store).await;
    store.pause(&Pause::user("u1")).await.unwrap();
    assert!(follow(store, &[&first], 9).await.is_empty(), "a pause");
}

pub(super) async fn followers_end_at_the_limits_of_their_request(
    store: Store<'_>,
    _: &ManualClock,
) {
    let text = RawMetadata::from_bytes(format!("\"{}\"", "x".repeat(98)));
    for entity in [1, 2] {
        for _ in 0..4 {
            create(store, change(entity).with_metadata(text.clone())).await;
        }
    }
    let firsts = claim(store, 9).await;
    let after: Vec<Lease> = firsts.iter().map(|claim| claim.lease).collect();
    assert!(follow(store, &[&firsts[0]], 0).await.is_empty());
    let request = FollowRequest::new(after.clone(), 9).up_to_bytes(250);
    let followers = store.follow(&request).await.unwrap();
    if !store.can_follow() {
        return;
    }
    assert_eq!(
        seqs(&followers),
        [2, 3].map(|behind| firsts[0].event.seq + behind - 1)
    );
    let after = vec![followers[1].lease, firsts[1].lease];
    let request = FollowRequest::new(after.clone(), 9).up_to_bytes(99);
    assert!(
        store.follow(&request).await.unwrap().is_empty(),
        "too large"
    );
    let followers = store.follow(&FollowRequest::new(after, 3)).await.unwrap();
    let (one, two) = (firsts[0].event.seq, firsts[1].event.seq);
    assert_eq!(seqs(&followers), [one + 3, two + 1, two + 2]);
}

pub(super) async fn a_lease_that_is_lost_has_no_followers(store: Store<'_>, clock: &ManualClock) {
    for _ in 0..2 {
        create(store, change(1)).await;
    }
    let first = claim_one(store).await;
    clock.advance(LEASE);
    assert!(follow(store, &[&first], 9).await.is_empty(), "it has ended");
    store.rescue().await.unwrap();
    let again = claim_one(store).await;
    assert_eq!(again.event.id, first.event.id);
    assert!(
        follow(store, &[&first], 9).await.is_empty(),
        "it is another's"
    );
    complete(store, &again).await;
    assert!(
        follow(store, &[&again], 9).await.is_empty(),
        "it is settled"
    );
}

pub(super) async fn a_follower_counts_as_claimed(store: Store<'_>, _: &ManualClock) {
    let keyed = |entity| change(entity).with_key("avatar");
    let folding = || change(2).with_coalesce(Coalesce::Latest);
    create(store, change(1)).await;
    let replaced = create(store, keyed(1)).await;
    create(store, folding()).await;
    let first_of_two = claim(store, 9).await;
    let first: Vec<&Claim> = first_of_two.iter().collect();
    create(store, folding()).await;
    let followers = follow(store, &first, 9).await;
    if !store.can_follow() {
        return;
    }
    assert_eq!(followers.len(), 2);
    let newer = create(store, keyed(3)).await;
    assert_ne!(newer.id, replaced.id);
    assert!(
        store.fetch_event(replaced.id).await.unwrap().is_some(),
        "it is not replaced"
    );
    let folded = create(store, folding()).await;
    assert!(followers.iter().all(|claim| claim.event.id != folded.id));
    let told = store.cancel(&Cancel::key("u1", "avatar")).await.unwrap();
    assert_eq!(told.canceled, [newer.id]);
    let too_late = [(replaced.id, OutboxStatus::Processing)];
    assert_eq!(told.too_late, too_late);
    assert!(store.reassign_user("u1", "u9").await.is_err());
    let changed = store.update_event(&followers[0].event).await;
    assert!(changed.is_err(), "a handler has it");
    assert_eq!(store.reset_for_retry(&[replaced.id]).await.unwrap(), 0);
    let marked = store.mark_as_processing(replaced.id, LEASE).await;
    assert!(marked.is_err());
}

pub(super) async fn an_explanation_shows_a_follower_with_its_handler(
    store: Store<'_>,
    _: &ManualClock,
) {
    for entity in [1, 2] {
        create(store, event(entity).with_order(Order::User)).await;
    }
    let first = claim_one(store).await;
    let followers = follow(store, &[&first], 9).await;
    let explanation = store.explain(&2.into(), None).await.unwrap();
    match followers.is_empty() {
        true => assert!(!matches!(explanation.waits_for, WaitsFor::Handler { .. })),
        false => assert!(
            matches!(explanation.waits_for, WaitsFor::Handler { .. }),
            "{explanation:?}"
        ),
    }
}

//! Following: leasing the events behind a leased one.
//!
//! A store that cannot follow leases none, which is right for it. The cases then look at nothing
//! else, and `a_store_that_cannot_follow_leases_no_followers` compares its answers with what it
//! says that it can.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, event, fetch, given_back,
    settle,
};
use crate::ManualClock;
use outbox_runtime::store::{
    Claim, ClaimRequest, Disposition, FollowRequest, Lease, Rescued, Settled, Settlement,
};
use outbox_runtime::{
    Cancel, Clock, Coalesce, Expiry, NewEvent, OnDead, Operation, Order, OutboxStatus, Pause,
    RawMetadata, WaitsFor,
};

/// A change of this entity, as [`event`] but no creation.
fn change(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

async fn follow(store: Store<'_>, after: &[&Claim], limit: usize) -> Vec<Claim> {
    let after: Vec<Lease> = after.iter().map(|claim| claim.lease).collect();
    let request = FollowRequest::new(after, limit);
    store.follow(&request).await.unwrap()
}

fn seqs(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.event.seq).collect()
}

/// Enqueues this many changes of entity 1 and leases all of them. `None` if the store leases only
/// the first one.
async fn led(store: Store<'_>, count: usize) -> Option<Vec<Claim>> {
    for _ in 0..count {
        create(store, change(1)).await;
    }
    let first = claim_one(store).await;
    let followers = follow(store, &[&first], count).await;
    if !store.can_follow() {
        return None;
    }
    assert_eq!(followers.len(), count - 1, "all others follow");
    Some([vec![first], followers].concat())
}

/// Settles events in one call.
async fn settle_all(store: Store<'_>, claims: &[Claim], dispositions: Vec<Disposition>) {
    let settlements = claims.iter().zip(dispositions);
    let settlements = settlements.map(|(claim, disposition)| Settlement {
        lease: claim.lease,
        disposition,
    });
    let settled = store.settle(settlements.collect()).await.unwrap();
    assert!(settled.iter().all(|it| *it == Settled::Recorded));
}

fn failed(clock: &ManualClock) -> Disposition {
    Disposition::Fail {
        next_attempt_at: clock.now() + SECOND,
        message: "no".to_owned(),
    }
}

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

pub(super) async fn a_delivered_lane_goes_on_behind_its_followers(
    store: Store<'_>,
    _: &ManualClock,
) {
    let Some(claims) = led(store, 3).await else {
        return;
    };
    let next = create(store, change(1)).await;
    settle_all(store, &claims, vec![Disposition::Complete; 3]).await;
    for claim in &claims {
        let stored = fetch(store, &claim.event).await;
        assert_eq!(stored.status, OutboxStatus::Completed);
        assert_eq!(stored.attempt_count, 1);
    }
    assert_eq!(claim_one(store).await.event.id, next.id);
}

pub(super) async fn a_failure_holds_back_what_follows(store: Store<'_>, clock: &ManualClock) {
    let Some(claims) = led(store, 4).await else {
        return;
    };
    let ends = vec![
        Disposition::Complete,
        failed(clock),
        given_back(None),
        given_back(None),
    ];
    settle_all(store, &claims, ends).await;
    assert!(
        claim(store, 9).await.is_empty(),
        "the failed one is due later"
    );
    let counts: Vec<u32> = {
        let mut counts = Vec::new();
        for claim in &claims {
            counts.push(fetch(store, &claim.event).await.attempt_count);
        }
        counts
    };
    assert_eq!(counts, [1, 1, 0, 0], "what was given back lost no attempt");
    clock.advance(SECOND);
    let first = claim_one(store).await;
    let again = follow(store, &[&first], 9).await;
    let again = [vec![first], again].concat();
    assert_eq!(seqs(&again), seqs(&claims[1..]));
    let counts: Vec<u32> = again
        .iter()
        .map(|claim| claim.event.attempt_count)
        .collect();
    assert_eq!(counts, [2, 1, 1]);
    // A dead letter that holds its lane holds them, and one that is skipped lets them pass.
    let ends = vec![buried(), given_back(None), given_back(None)];
    settle_all(store, &again, ends).await;
    assert!(claim(store, 9).await.is_empty());
    store.discard(&[again[0].event.id]).await.unwrap();
    assert_eq!(claim_one(store).await.event.id, again[1].event.id);
}

pub(super) async fn a_skipped_dead_letter_lets_its_followers_pass(
    store: Store<'_>,
    _: &ManualClock,
) {
    for _ in 0..3 {
        create(store, change(1).with_on_dead(OnDead::Skip)).await;
    }
    let first = claim_one(store).await;
    let followers = follow(store, &[&first], 9).await;
    if !store.can_follow() {
        return;
    }
    let claims = [vec![first], followers].concat();
    let ends = vec![buried(), given_back(None), given_back(None)];
    settle_all(store, &claims, ends).await;
    let next = claim_one(store).await;
    assert_eq!(next.event.id, claims[1].event.id);
    assert_eq!(
        seqs(&follow(store, &[&next], 9).await),
        [claims[2].event.seq]
    );
}

pub(super) async fn followers_that_are_given_back_keep_their_place(
    store: Store<'_>,
    _: &ManualClock,
) {
    let Some(claims) = led(store, 3).await else {
        return;
    };
    settle_all(store, &claims, vec![given_back(None); 3]).await;
    let first = claim_one(store).await;
    let again = [vec![first.clone()], follow(store, &[&first], 9).await].concat();
    assert_eq!(seqs(&again), seqs(&claims));
    assert!(again.iter().all(|claim| claim.event.attempt_count == 1));
    assert!(again.iter().all(|claim| claim.event.crashes == 0));
    assert_ne!(again[0].lease.token, claims[0].lease.token);
}

pub(super) async fn a_lane_has_one_holder_until_its_last_event_is_settled(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let Some(claims) = led(store, 4).await else {
        return;
    };
    let next = create(store, change(1)).await;
    settle(store, &claims[0], failed(clock)).await;
    clock.advance(SECOND);
    assert!(
        claim(store, 9).await.is_empty(),
        "others of its lane are leased"
    );
    settle(store, &claims[1], Disposition::Complete).await;
    assert!(store.delete_event(claims[2].event.id).await.unwrap());
    settle(store, &claims[3], given_back(None)).await;
    let first = claim_one(store).await;
    assert_eq!(first.event.id, claims[0].event.id);
    let rest = follow(store, &[&first], 9).await;
    assert_eq!(seqs(&rest), [claims[3].event.seq, next.seq]);
}

pub(super) async fn a_deleted_event_leaves_its_followers_leased(store: Store<'_>, _: &ManualClock) {
    let Some(claims) = led(store, 3).await else {
        return;
    };
    let next = create(store, change(1)).await;
    assert!(store.delete_event(claims[0].event.id).await.unwrap());
    assert!(claim(store, 9).await.is_empty());
    let settled = settle(store, &claims[0], Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost);
    settle_all(store, &claims[1..], vec![Disposition::Complete; 2]).await;
    assert_eq!(claim_one(store).await.event.id, next.id);
}

pub(super) async fn a_rescue_takes_followers_back_in_order(store: Store<'_>, clock: &ManualClock) {
    let Some(claims) = led(store, 3).await else {
        return;
    };
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(3, 0));
    for claim in &claims {
        let stored = fetch(store, &claim.event).await;
        assert_eq!((stored.attempt_count, stored.crashes), (0, 1));
        let settled = settle(store, claim, Disposition::Complete).await;
        assert_eq!(settled, Settled::LeaseLost);
    }
    // What crashed is sent alone.
    for expected in &claims {
        let first = claim_one(store).await;
        assert_eq!(first.event.id, expected.event.id);
        assert!(follow(store, &[&first], 9).await.is_empty());
        complete(store, &first).await;
    }
}

pub(super) async fn a_rescue_of_one_event_leaves_the_lane_to_its_holder(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let Some(claims) = led(store, 3).await else {
        return;
    };
    clock.advance(LEASE);
    let leases: Vec<Lease> = claims[1..].iter().map(|claim| claim.lease).collect();
    let renewed = store.extend(&leases, LEASE).await.unwrap();
    assert!(renewed.iter().all(Option::is_some));
    let lost = [claims[0].lease];
    let (_, rescued) = store.rescue_others(&[], Some(&lost)).await.unwrap();
    if rescued == Rescued::default() {
        // The default takes nothing back for such a call.
        return;
    }
    assert!(claim(store, 9).await.is_empty(), "its followers are leased");
    settle_all(store, &claims[1..], vec![given_back(None); 2]).await;
    assert_eq!(claim_one(store).await.event.id, claims[0].event.id);
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

//! Followers: what becomes of events that were leased behind another one.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, complete, create, fetch, given_back, settle,
};
use super::lane::{change, failed, follow, led, seqs, settle_all};
use crate::ManualClock;
use outbox_runtime::store::{Disposition, Lease, Rescued, Settled};
use outbox_runtime::{OnDead, OutboxStatus};

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

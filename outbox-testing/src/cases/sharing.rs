//! Sharing a claim: among users in round-robin turns, and among events with large metadata.

use super::helpers::{LEASE, Store, claim, complete, create, entities, event, fetch};
use crate::ManualClock;
use outbox_runtime::store::{Claim, ClaimRequest, EventTypes};
use outbox_runtime::{NewEvent, Operation, OutboxEvent, RawMetadata};

fn note_of(user: &str, entity: i64) -> NewEvent {
    NewEvent::new("note", entity, user, Operation::Create)
}

/// Creates the events of four users. `b` has the largest backlog, and its priority puts all of it
/// before the other users' events.
async fn unequal_users(store: Store<'_>) {
    for entity in 0..20 {
        create(store, note_of("b", entity).with_priority(9)).await;
    }
    for (user, entity) in [("a", 100), ("a", 101), ("c", 200), ("d", 300), ("d", 301)] {
        create(store, note_of(user, entity)).await;
    }
    create(store, note_of("d", 302).with_priority(1)).await;
}

async fn claim_in_turn(store: Store<'_>, limit: usize, after: &str) -> Vec<Claim> {
    let request = ClaimRequest::new(limit, LEASE).with_turns(limit, after);
    store.claim(&request).await.unwrap()
}

pub(super) async fn users_take_turns_regardless_of_backlog(store: Store<'_>, _: &ManualClock) {
    unequal_users(store).await;
    // Takes the first event of each user in claim order, continuing after the user of the last
    // turn.
    assert_eq!(entities(&claim_in_turn(store, 2, "").await), [100, 0]);
    assert_eq!(entities(&claim_in_turn(store, 2, "b").await), [200, 302]);
    assert_eq!(entities(&claim_in_turn(store, 2, "d").await), [101, 1]);
    // Continues also after a user who has no events or does not exist.
    assert_eq!(entities(&claim_in_turn(store, 1, "bb").await), [300]);
    assert_eq!(entities(&claim_in_turn(store, 1, "zz").await), [2]);
}

pub(super) async fn turns_come_after_the_events_claimed_in_order(
    store: Store<'_>,
    _: &ManualClock,
) {
    unequal_users(store).await;
    let request = ClaimRequest::new(5, LEASE).with_turns(2, "a");
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(entities(&claims), [0, 1, 2, 3, 200]);
    let request = ClaimRequest::new(8, LEASE).with_turns(5, "c");
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(entities(&claims), [4, 5, 6, 302, 100, 7, 8, 9]);
}

pub(super) async fn places_left_by_turns_are_filled_in_claim_order(
    store: Store<'_>,
    _: &ManualClock,
) {
    unequal_users(store).await;
    let claims = claim_in_turn(store, 8, "c").await;
    assert_eq!(entities(&claims), [302, 100, 0, 200, 1, 2, 3, 4]);
    let claims = claim_in_turn(store, 3, "b").await;
    assert_eq!(entities(&claims), [300, 101, 5], "c has no events left");
    let of_b = ClaimRequest::new(2, LEASE).with_user("b");
    let claims = store.claim(&of_b.with_turns(2, "a")).await.unwrap();
    assert_eq!(entities(&claims), [6, 7], "a single user takes no turns");
    assert_eq!(claim_in_turn(store, 99, "d").await.len(), 13);
    assert!(claim_in_turn(store, 9, "d").await.is_empty());
}

pub(super) async fn a_turn_takes_only_requested_events(store: Store<'_>, _: &ManualClock) {
    unequal_users(store).await;
    for (user, entity) in [("a", 1_000), ("c", 1_001)] {
        let task = NewEvent::new("task", entity, user, Operation::Create);
        create(store, task.with_priority(5)).await;
    }
    let request = ClaimRequest::new(3, LEASE)
        .with_event_types(EventTypes::Only(vec!["note".to_owned()]))
        .without_users(vec!["d".to_owned(), "b".to_owned()])
        .with_turns(3, "");
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(entities(&claims), [100, 200, 101]);
    assert!(store.claim(&request).await.unwrap().is_empty());
    let request = request.with_event_types(EventTypes::AllExcept(vec!["note".to_owned()]));
    let claims = store.claim(&request.with_turns(3, "b")).await.unwrap();
    assert_eq!(entities(&claims), [1_001, 1_000]);
}

pub(super) async fn any_number_of_users_can_be_excluded(store: Store<'_>, _: &ManualClock) {
    create(store, note_of("z", 1)).await;
    create(store, note_of("user 7", 2)).await;
    // More values than one SQLite statement accepts.
    let users = (0..40_000).map(|number| format!("user {number}"));
    let request = ClaimRequest::new(9, LEASE).without_users(users.collect());
    let turns = request.clone().with_turns(2, "a");
    let claims = store.claim(&turns).await.unwrap();
    assert_eq!(entities(&claims), [1]);
    complete(store, &claims[0]).await;
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(store.next_due(&request).await.unwrap(), None);
    assert_eq!(entities(&claim(store, 9).await), [2]);
}

pub(super) async fn a_claim_returns_no_more_metadata_than_the_limit(
    store: Store<'_>,
    _: &ManualClock,
) {
    let text = format!("\"{}\"", "x".repeat(NewEvent::MAX_METADATA_BYTES - 2));
    let large = RawMetadata::from_bytes(text);
    let count = ClaimRequest::MAX_METADATA_BYTES / NewEvent::MAX_METADATA_BYTES;
    for entity in 0..=2 * i64::try_from(count).unwrap() {
        let user = format!("u{}", entity % 3);
        create(store, note_of(&user, entity).with_metadata(large.clone())).await;
    }
    assert_eq!(claim(store, 99).await.len(), count);
    assert_eq!(claim_in_turn(store, 99, "").await.len(), count);
    assert_eq!(claim(store, 99).await.len(), 1);
}

pub(super) async fn an_edit_keeps_the_size_limit_of_metadata(store: Store<'_>, _: &ManualClock) {
    let created = create(store, event(1)).await;
    let mut edited: OutboxEvent = created.clone();
    let bytes = vec![b' '; NewEvent::MAX_METADATA_BYTES + 1];
    edited.metadata = Some(RawMetadata::from_bytes(bytes));
    let refused = store.update_event(&edited).await.unwrap_err().to_string();
    assert!(
        refused.contains("has 1048577 bytes, more than 1048576"),
        "{refused}"
    );
    assert_eq!(fetch(store, &created).await, created);
}

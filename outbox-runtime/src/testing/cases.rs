//! The cases of the conformance suite: each a promise, named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]

use std::time::Duration;

use crate::claim::{Claim, ClaimRequest, EventTypes, LeaseToken};
use crate::clock::{Clock, after};
use crate::enqueue::NewEvent;
use crate::entity::EntityId;
use crate::error::{EnqueueError, StoreErrorKind};
use crate::event::{DeadReason, Operation, OutboxEvent, OutboxStatus};
use crate::metadata::RawMetadata;
use crate::outcome::{Disposition, Settled, Settlement};
use crate::repository::{OutboxRepository, Rescued};
use crate::statistics::WaitsFor;
use crate::testing::ManualClock;

type Store<'a> = &'a dyn OutboxRepository;

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// An event of user u1 about this entity.
fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

async fn create(store: Store<'_>, event: NewEvent) -> OutboxEvent {
    store.create_event(event).await.unwrap()
}

async fn claim(store: Store<'_>, limit: usize) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap()
}

/// Claims exactly one event.
async fn claim_one(store: Store<'_>) -> Claim {
    let mut claims = claim(store, 1).await;
    assert_eq!(claims.len(), 1, "one event should be claimable");
    claims.remove(0)
}

async fn settle(store: Store<'_>, claim: &Claim, disposition: Disposition) -> Settled {
    let lease = claim.lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap()[0]
}

async fn complete(store: Store<'_>, claim: &Claim) {
    let settled = settle(store, claim, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
}

fn buried() -> Disposition {
    Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "no".to_owned(),
    }
}

async fn fetch(store: Store<'_>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

fn entities(claims: &[Claim]) -> Vec<i64> {
    claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer().unwrap())
        .collect()
}

pub async fn an_enqueued_event_can_be_fetched(store: Store<'_>, clock: &ManualClock) {
    for id in [
        EntityId::from(7),
        EntityId::from("seven"),
        EntityId::from(uuid::Uuid::now_v7()),
    ] {
        let new = NewEvent::new("note", id.clone(), "u1", Operation::Update)
            .with_priority(-3)
            .with_max_attempts(9)
            .with_metadata(RawMetadata::from_bytes(r#"{"a":1}"#));
        let created = create(store, new.clone()).await;
        let fetched = fetch(store, &created).await;
        assert_eq!(created, fetched);
        assert_eq!(fetched.id, new.id());
        assert_eq!(fetched.entity_id, id);
        assert_eq!((fetched.priority, fetched.max_attempts), (-3, 9));
        assert_eq!(fetched.operation, Operation::Update);
        assert_eq!(fetched.status, OutboxStatus::Pending);
        assert_eq!(fetched.created_at, clock.now());
        assert_eq!(fetched.next_attempt_at, clock.now());
        assert_eq!(fetched.metadata.unwrap().as_str(), Some(r#"{"a":1}"#));
    }
}

pub async fn the_same_event_twice_is_written_once(store: Store<'_>, clock: &ManualClock) {
    let first = create(store, event(1)).await;
    clock.advance(SECOND);
    let again = create(store, event(1).with_id(first.id)).await;
    assert_eq!(first, again);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
}

pub async fn other_content_under_the_same_id_is_refused_and_the_first_kept(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let other = event(1)
        .with_id(first.id)
        .with_metadata(RawMetadata::from_bytes("{}"));
    let refused = store.create_event(other).await;
    assert!(
        matches!(refused, Err(EnqueueError::Conflict { event_id }) if event_id == first.id),
        "{refused:?}"
    );
    assert_eq!(fetch(store, &first).await, first);
}

pub async fn an_event_that_breaks_a_rule_is_refused(store: Store<'_>, _: &ManualClock) {
    let long = "x".repeat(NewEvent::MAX_KEY_BYTES + 1);
    let large = vec![b'1'; NewEvent::MAX_METADATA_BYTES + 1];
    let make = |event_type: &'static str, user: &str| {
        NewEvent::new(event_type, 1, user, Operation::Create)
    };
    for (field, broken) in [
        ("event_type", make("", "u1")),
        ("event_type", make("a\nb", "u1")),
        ("user_id", make("note", "")),
        ("user_id", make("note", &long)),
        ("user_id", make("note", "u\u{0}")),
        (
            "entity_id",
            NewEvent::new("note", "", "u1", Operation::Create),
        ),
        ("max_attempts", event(1).with_max_attempts(0)),
        (
            "metadata",
            event(1).with_metadata(RawMetadata::from_bytes(large)),
        ),
        (
            "metadata",
            event(1).with_metadata(RawMetadata::from_bytes([0xff, 0xfe])),
        ),
    ] {
        let refused = store.create_event(broken).await;
        assert!(
            matches!(&refused, Err(EnqueueError::Invalid { field: found, .. }) if *found == field),
            "{field}: {refused:?}"
        );
    }
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
}

pub async fn a_claim_takes_higher_priority_then_earlier_due_then_smaller_seq(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1).with_delay(SECOND)).await;
    create(store, event(2)).await;
    create(store, event(3)).await;
    create(store, event(4).with_priority(-1)).await;
    create(store, event(5).with_priority(9).with_delay(SECOND)).await;
    clock.advance(SECOND);
    assert_eq!(entities(&claim(store, 9).await), [5, 2, 3, 1, 4]);
}

pub async fn a_claim_takes_only_the_first_event_of_each_entity(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    create(store, event(1).with_priority(99)).await;
    create(store, event(2)).await;
    let claims = claim(store, 9).await;
    assert_eq!(entities(&claims), [1, 2]);
    assert_eq!(claims[0].event.id, first.id);
    assert!(claim(store, 9).await.is_empty());
}

pub async fn entities_of_two_users_with_one_id_do_not_wait_for_each_other(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    create(store, NewEvent::new("note", 1, "u2", Operation::Create)).await;
    assert_eq!(claim(store, 9).await.len(), 2);
}

pub async fn a_claim_is_exclusive(store: Store<'_>, _: &ManualClock) {
    for entity in 0..10 {
        create(store, event(entity)).await;
    }
    let (a, b) = tokio::join!(claim(store, 7), claim(store, 7));
    let mut all = entities(&a);
    all.extend(entities(&b));
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..10));
}

pub async fn a_claim_counts_the_attempt(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    clock.advance(SECOND);
    let claimed = claim_one(store).await;
    assert_eq!(claimed.event, fetch(store, &created).await);
    assert_eq!(claimed.event.status, OutboxStatus::Processing);
    assert_eq!(claimed.event.attempt_count, 1);
    assert_eq!(claimed.event.last_attempt_at, Some(clock.now()));
    assert_eq!(claimed.lease.expires_at, after(clock.now(), LEASE));
    assert_eq!(
        claimed.event.lease_expires_at,
        Some(claimed.lease.expires_at)
    );
    assert_eq!(
        claimed.event.lease_token,
        Some(claimed.lease.token.as_uuid())
    );
}

pub async fn a_claim_for_one_user_takes_nothing_of_another(store: Store<'_>, _: &ManualClock) {
    create(store, event(1)).await;
    create(store, NewEvent::new("note", 2, "u2", Operation::Create)).await;
    create(store, NewEvent::new("note", 3, "u3", Operation::Create)).await;
    let of_u2 = ClaimRequest::new(9, LEASE).with_user("u2");
    assert_eq!(entities(&store.claim(&of_u2).await.unwrap()), [2]);
    let not_u1 = ClaimRequest::new(9, LEASE).without_users(vec!["u1".to_owned()]);
    assert_eq!(entities(&store.claim(&not_u1).await.unwrap()), [3]);
}

pub async fn a_claim_leaves_other_event_types_alone(store: Store<'_>, _: &ManualClock) {
    let note = create(store, event(1)).await;
    let other = NewEvent::new("other", 2, "u1", Operation::Create);
    let other = create(store, other).await;
    let only = |types| ClaimRequest::new(9, LEASE).with_event_types(types);
    let none = only(EventTypes::Only(vec![]));
    assert!(store.claim(&none).await.unwrap().is_empty());
    let request = only(EventTypes::Only(vec!["other".to_owned()]));
    assert_eq!(entities(&store.claim(&request).await.unwrap()), [2]);
    assert_eq!(fetch(store, &note).await, note);
    let request = only(EventTypes::AllExcept(vec!["note".to_owned()]));
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(fetch(store, &other).await.attempt_count, 1);
}

pub async fn a_delayed_event_is_claimed_when_it_is_due_and_not_before(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1).with_delay(SECOND)).await;
    clock.advance(SECOND - Duration::from_millis(1));
    assert!(claim(store, 1).await.is_empty());
    clock.advance(Duration::from_millis(1));
    let _ = claim_one(store).await;
}

pub async fn a_delivery_is_recorded_and_lets_the_next_event_go(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    assert!(claim(store, 1).await.is_empty());
    complete(store, &claimed).await;
    let done = fetch(store, &first).await;
    assert_eq!(done.status, OutboxStatus::Completed);
    assert_eq!(done.completed_at, Some(clock.now()));
    assert_eq!((done.lease_token, done.lease_expires_at), (None, None));
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub async fn a_failure_is_due_again_at_its_time(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    let due = after(clock.now(), SECOND);
    let failed = Disposition::Fail {
        next_attempt_at: due,
        message: "server said 503".to_owned(),
    };
    assert_eq!(settle(store, &claimed, failed).await, Settled::Recorded);
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Failed);
    assert_eq!(stored.next_attempt_at, due);
    assert_eq!(stored.attempt_count, 1);
    assert_eq!(stored.error_message.as_deref(), Some("server said 503"));
    clock.advance(SECOND - Duration::from_millis(1));
    assert!(claim(store, 1).await.is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(claim_one(store).await.event.attempt_count, 2);
}

pub async fn a_dead_event_holds_back_those_behind_it(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    create(store, event(1)).await;
    create(store, event(2).with_priority(-1)).await;
    let claimed = claim_one(store).await;
    settle(store, &claimed, buried()).await;
    let dead = fetch(store, &first).await;
    assert_eq!(dead.status, OutboxStatus::Dead);
    assert_eq!(dead.dead_reason, Some(DeadReason::Rejected));
    assert_eq!(entities(&claim(store, 9).await), [2]);
    // What comes later waits as well.
    create(store, event(1)).await;
    assert!(claim(store, 9).await.is_empty());
}

pub async fn a_given_back_event_has_its_attempt_back_and_keeps_its_place(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    clock.advance(SECOND);
    create(store, event(2)).await;
    let claimed = claim_one(store).await;
    let given_back = |next_attempt_at| Disposition::GiveBack { next_attempt_at };
    settle(store, &claimed, given_back(None)).await;
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Pending);
    assert_eq!(stored.attempt_count, 0);
    assert_eq!(stored.next_attempt_at, created.next_attempt_at);

    let claimed = claim_one(store).await;
    assert_eq!(claimed.event.id, created.id);
    let later = after(clock.now(), SECOND);
    settle(store, &claimed, given_back(Some(later))).await;
    assert_eq!(fetch(store, &created).await.next_attempt_at, later);
    assert_eq!(entities(&claim(store, 9).await), [2]);
}

pub async fn an_outcome_after_the_lease_ended_is_not_recorded(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.advance(LEASE);
    for disposition in [Disposition::Complete, buried()] {
        let settled = settle(store, &claimed, disposition).await;
        assert_eq!(settled, Settled::LeaseLost);
    }
    assert_eq!(
        fetch(store, &created).await.status,
        OutboxStatus::Processing
    );
}

pub async fn an_outcome_under_an_older_claim_is_not_recorded(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let old = claim_one(store).await;
    clock.advance(LEASE);
    let _ = store.rescue().await.unwrap();
    let new = claim_one(store).await;
    assert_ne!(old.lease.token, new.lease.token);
    let settled = settle(store, &old, Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost);
    assert_eq!(fetch(store, &created).await, new.event);
    complete(store, &new).await;
    let settled = settle(store, &new, Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost, "an outcome is recorded once");
}

pub async fn an_extended_lease_holds_longer(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    let claimed = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    let extended = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(extended[0].unwrap().expires_at, after(clock.now(), LEASE));
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    complete(store, &claimed).await;
}

pub async fn a_lost_lease_cannot_be_extended(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let claims = claim(store, 2).await;
    complete(store, &claims[0]).await;
    let mut stolen = claims[1].lease;
    stolen.token = LeaseToken::random();
    let leases = [claims[0].lease, stolen, claims[1].lease];
    let extended = store.extend(&leases, LEASE).await.unwrap();
    assert_eq!(
        extended.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, true]
    );
    clock.advance(LEASE);
    let extended = store.extend(&[claims[1].lease], LEASE).await.unwrap();
    assert_eq!(extended, [None], "its time is over");
}

pub async fn a_rescue_makes_events_of_the_dead_claimable_again(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let _ = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    assert!(claim(store, 1).await.is_empty());
    clock.advance(SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Failed);
    assert_eq!(stored.attempt_count, 1, "a crash uses up an attempt");
    assert_eq!(claim_one(store).await.event.attempt_count, 2);
}

pub async fn a_rescue_buries_what_has_used_up_its_attempts(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1).with_max_attempts(2)).await;
    for _ in 0..2 {
        let _ = claim_one(store).await;
        clock.advance(LEASE);
        let _ = store.rescue().await.unwrap();
    }
    let stored = fetch(store, &created).await;
    assert_eq!(stored.status, OutboxStatus::Dead);
    assert_eq!(stored.dead_reason, Some(DeadReason::AttemptsExhausted));
    assert!(stored.error_message.is_some());
    assert!(claim(store, 1).await.is_empty());
}

pub async fn a_rescue_leaves_live_leases_alone(store: Store<'_>, clock: &ManualClock) {
    create(store, event(1)).await;
    create(store, event(2)).await;
    let _dead = claim_one(store).await;
    clock.advance(SECOND);
    let live = claim_one(store).await;
    clock.advance(LEASE - SECOND);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
    complete(store, &live).await;
}

pub async fn a_reset_gives_a_dead_event_all_its_attempts(store: Store<'_>, clock: &ManualClock) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let done = create(store, event(2)).await;
    let claims = claim(store, 2).await;
    settle(store, &claims[0], buried()).await;
    complete(store, &claims[1]).await;
    clock.advance(SECOND);
    let ids = [first.id, second.id, done.id];
    assert_eq!(store.reset_for_retry(&ids).await.unwrap(), 1);
    let stored = fetch(store, &first).await;
    assert_eq!(stored.status, OutboxStatus::Pending);
    assert_eq!(stored.attempt_count, 0);
    assert_eq!((stored.dead_reason, stored.error_message), (None, None));
    assert_eq!(stored.next_attempt_at, clock.now());
    let claims = claim(store, 9).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.id, first.id, "order is kept");
}

pub async fn marking_by_hand_goes_through_the_same_states(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    let claimed = store.mark_as_processing(created.id, LEASE).await.unwrap();
    assert_eq!(claimed.event, fetch(store, &created).await);
    assert_eq!(claimed.event.attempt_count, 1);
    let settled = store.mark_as_failed(&claimed.lease, "no").await.unwrap();
    assert_eq!(settled, Settled::Recorded);
    let failed = fetch(store, &created).await;
    assert_eq!(failed.status, OutboxStatus::Failed);
    assert!(failed.next_attempt_at > clock.now());
    clock.set(failed.next_attempt_at);
    let claimed = store.mark_as_processing(created.id, LEASE).await.unwrap();
    let settled = store.mark_as_completed(&claimed.lease).await.unwrap();
    assert_eq!(settled, Settled::Recorded);
    assert_eq!(fetch(store, &created).await.status, OutboxStatus::Completed);
    let settled = store.mark_as_failed(&claimed.lease, "no").await.unwrap();
    assert_eq!(settled, Settled::LeaseLost);
}

pub async fn an_event_behind_another_cannot_be_marked_as_processing(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let refused = store.mark_as_processing(second.id, LEASE).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    let absent = store.mark_as_processing(uuid::Uuid::nil(), LEASE).await;
    assert_eq!(absent.unwrap_err().kind(), StoreErrorKind::NotFound);
}

pub async fn an_edit_changes_what_may_be_edited_and_nothing_else(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let mut edited = create(store, event(1)).await;
    edited.priority = 7;
    edited.max_attempts = 2;
    edited.metadata = Some(RawMetadata::from_bytes("[]"));
    edited.next_attempt_at = after(clock.now(), SECOND);
    store.update_event(&edited).await.unwrap();
    assert_eq!(fetch(store, &edited).await, edited);
    assert!(claim(store, 1).await.is_empty(), "it is due later now");

    let mut wrong = edited.clone();
    wrong.user_id = "u2".to_owned();
    let refused = store.update_event(&wrong).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    let mut absent = edited.clone();
    absent.id = uuid::Uuid::nil();
    let refused = store.update_event(&absent).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::NotFound);

    clock.advance(SECOND);
    let claimed = claim_one(store).await;
    let refused = store.update_event(&claimed.event).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "a handler has it");
}

pub async fn deleting_the_first_event_lets_the_next_one_go(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1)).await;
    let second = create(store, event(1)).await;
    assert!(store.delete_event(first.id).await.unwrap());
    assert!(!store.delete_event(first.id).await.unwrap());
    assert_eq!(claim_one(store).await.event.id, second.id);
}

pub async fn deleting_by_entity_and_by_user_deletes_just_those(store: Store<'_>, _: &ManualClock) {
    for entity in [1, 1, 2, 3] {
        create(store, event(entity)).await;
    }
    let of_u2 = create(store, NewEvent::new("note", 1, "u2", Operation::Create)).await;
    let entities = [EntityId::from(1), EntityId::from(2)];
    let deleted = store
        .delete_events_for_entities(&entities, Some("u1"))
        .await;
    assert_eq!(deleted.unwrap(), 3);
    assert_eq!(store.delete_all_events_for_user("u1").await.unwrap(), 1);
    assert_eq!(fetch(store, &of_u2).await, of_u2);
    let deleted = store.delete_events_for_entities(&entities, None).await;
    assert_eq!(deleted.unwrap(), 1);
}

pub async fn clean_up_deletes_only_old_completed_events(store: Store<'_>, clock: &ManualClock) {
    let old = create(store, event(1)).await;
    complete(store, &claim_one(store).await).await;
    clock.advance(SECOND);
    let new = create(store, event(2)).await;
    complete(store, &claim_one(store).await).await;
    let pending = create(store, event(3)).await;
    let deleted = store.delete_completed_events(clock.now()).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(store.fetch_event(old.id).await.unwrap(), None);
    fetch(store, &new).await;
    fetch(store, &pending).await;
}

pub async fn listings_filter_by_status_user_and_limit(store: Store<'_>, _: &ManualClock) {
    let a = create(store, event(1)).await;
    let b = create(store, event(2).with_priority(1)).await;
    let c = create(store, NewEvent::new("other", 2, "u2", Operation::Create)).await;
    let ids = |events: Vec<OutboxEvent>| events.iter().map(|event| event.id).collect::<Vec<_>>();

    let pending = store.fetch_pending_events(Some("u1"), None).await.unwrap();
    assert_eq!(ids(pending), [b.id, a.id], "in claim order");
    let pending = store.fetch_pending_events(None, Some(2)).await.unwrap();
    assert_eq!(ids(pending), [b.id, a.id]);

    let listed = store.fetch_events(OutboxStatus::Pending, None, None).await;
    assert_eq!(ids(listed.unwrap()), [a.id, b.id, c.id], "in seq order");
    let listed = store
        .fetch_events(OutboxStatus::Pending, Some("u2"), Some(9))
        .await;
    assert_eq!(ids(listed.unwrap()), [c.id]);
    let listed = store.fetch_events(OutboxStatus::Dead, None, None).await;
    assert!(listed.unwrap().is_empty());

    let entity = EntityId::from(2);
    let listed = store.fetch_events_for_entity(&entity, None, None).await;
    assert_eq!(ids(listed.unwrap()), [b.id, c.id]);
    let listed = store
        .fetch_events_for_entity(&entity, Some("other"), None)
        .await;
    assert_eq!(ids(listed.unwrap()), [c.id]);
    let listed = store
        .fetch_events_for_entity(&entity, None, Some("u1"))
        .await;
    assert_eq!(ids(listed.unwrap()), [b.id]);
}

pub async fn statistics_count_every_status(store: Store<'_>, clock: &ManualClock) {
    let oldest = clock.now();
    for entity in 1..=4 {
        create(store, event(entity)).await;
    }
    let claims = claim(store, 3).await;
    complete(store, &claims[0]).await;
    let due = after(clock.now(), SECOND);
    let failed = Disposition::Fail {
        next_attempt_at: due,
        message: "no".to_owned(),
    };
    settle(store, &claims[1], failed).await;
    let completed_at = clock.now();
    clock.advance(SECOND);
    create(store, NewEvent::new("note", 5, "u2", Operation::Create)).await;
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(statistics.total_events, 5);
    assert_eq!(statistics.pending_count, 2);
    assert_eq!(statistics.processing_count, 1);
    assert_eq!(statistics.completed_count, 1);
    assert_eq!(statistics.failed_count, 1);
    assert_eq!(statistics.dead_count, 0);
    assert_eq!(statistics.oldest_pending_date, Some(oldest));
    assert_eq!(statistics.newest_completed_date, Some(completed_at));
    settle(store, &claims[2], buried()).await;
    let statistics = store.statistics(Some("u1")).await.unwrap();
    assert_eq!(statistics.total_events, 4);
    assert_eq!((statistics.pending_count, statistics.dead_count), (1, 1));
    let nobody = store.statistics(Some("u3")).await.unwrap();
    assert_eq!(nobody.total_events, 0);
    assert_eq!(nobody.oldest_pending_date, None);
}

pub async fn stale_events_are_those_pending_for_long(store: Store<'_>, clock: &ManualClock) {
    let old = create(store, event(1)).await;
    clock.advance(SECOND);
    create(store, event(2)).await;
    clock.advance(OutboxEvent::STALE_AFTER);
    assert_eq!(store.stale_events(None).await.unwrap(), [old]);
    assert_eq!(store.statistics(None).await.unwrap().stale_count, 1);
    assert!(store.stale_events(Some("u2")).await.unwrap().is_empty());
}

pub async fn next_due_tells_the_earliest_due_time_or_lease_end(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let all = ClaimRequest::new(1, LEASE);
    assert_eq!(store.next_due(&all).await.unwrap(), None);
    create(store, event(1).with_delay(2 * LEASE)).await;
    let due = after(clock.now(), 2 * LEASE);
    assert_eq!(store.next_due(&all).await.unwrap(), Some(due));
    let others = ClaimRequest::new(1, LEASE).with_user("u2");
    assert_eq!(store.next_due(&others).await.unwrap(), None);
    create(store, event(2)).await;
    let claimed = claim_one(store).await;
    let ends = claimed.lease.expires_at;
    assert_eq!(store.next_due(&all).await.unwrap(), Some(ends));
    assert_eq!(store.next_due(&others).await.unwrap(), Some(ends));
}

pub async fn an_explanation_names_what_an_entity_waits_for(store: Store<'_>, clock: &ManualClock) {
    let entity = EntityId::from(1);
    let explain = async || {
        let explanation = store.explain(&entity, None).await.unwrap();
        (explanation.undelivered, explanation.waits_for)
    };
    assert_eq!(explain().await, (0, WaitsFor::Nothing));
    let first = create(store, event(1).with_delay(SECOND)).await;
    create(store, event(1)).await;
    let at = after(clock.now(), SECOND);
    let last_error = None;
    assert_eq!(explain().await, (2, WaitsFor::DueTime { at, last_error }));
    clock.advance(SECOND);
    assert_eq!(explain().await, (2, WaitsFor::Worker));
    let claimed = claim_one(store).await;
    let lease_expires_at = claimed.lease.expires_at;
    assert_eq!(explain().await, (2, WaitsFor::Handler { lease_expires_at }));
    settle(store, &claimed, buried()).await;
    let decision = WaitsFor::Decision {
        event_id: first.id,
        reason: DeadReason::Rejected,
        message: Some("no".to_owned()),
    };
    assert_eq!(explain().await, (2, decision));
    let others = store.explain(&entity, Some("u2")).await.unwrap();
    assert_eq!(others.waits_for, WaitsFor::Nothing);
}

pub async fn a_commit_is_noticed_by_who_waits_for_a_change(store: Store<'_>, _: &ManualClock) {
    let seen = store.revision();
    let (now, _) = tokio::join!(store.changed(seen), create(store, event(1)));
    assert_ne!(now, seen);
    // Also when it happened before anybody waited.
    assert_ne!(store.changed(seen).await, seen);
}

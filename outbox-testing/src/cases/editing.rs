//! Manual marks, retries and edits.

use super::helpers::{
    LEASE, SECOND, Store, buried, change_of, claim, claim_one, complete, create, event, fetch,
    settle,
};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{Claim, Disposition, Settled};
use outbox_runtime::{
    Clock, DeadReason, NewEvent, Operation, Order, OutboxStatus, RawMetadata, RetryPolicy,
    StoreErrorKind,
};

pub(super) async fn manual_marks_go_through_the_same_states(store: Store<'_>, clock: &ManualClock) {
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
    let settled = store.mark_as_completed(&claimed.lease).await.unwrap();
    assert_eq!(settled, Settled::LeaseLost);
}

pub(super) async fn a_manually_marked_failure_is_recorded_and_due_by_the_schedule(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1).with_max_attempts(2)).await;
    let claimed = store.mark_as_processing(created.id, LEASE).await.unwrap();
    let settled = store
        .mark_as_failed(&claimed.lease, "the wire is cut")
        .await;
    assert_eq!(settled.unwrap(), Settled::Recorded);
    let failed = fetch(store, &created).await;
    assert_eq!(failed.error_message.as_deref(), Some("the wire is cut"));
    let due = RetryPolicy::default().delay(1, created.id);
    assert_eq!(failed.next_attempt_at, after(clock.now(), due));
    assert_eq!((failed.attempt_count, failed.dead_reason), (1, None));

    clock.set(failed.next_attempt_at);
    let claimed = store.mark_as_processing(created.id, LEASE).await.unwrap();
    let settled = store.mark_as_failed(&claimed.lease, "and again").await;
    assert_eq!(settled.unwrap(), Settled::Recorded);
    let dead = fetch(store, &created).await;
    assert_eq!(dead.status, OutboxStatus::Dead, "its attempts are used up");
    assert_eq!(dead.dead_reason, Some(DeadReason::AttemptsExhausted));
    assert_eq!(dead.error_message.as_deref(), Some("and again"));
    let settled = store.mark_as_failed(&claimed.lease, "late").await.unwrap();
    assert_eq!(settled, Settled::LeaseLost);
}

pub(super) async fn only_due_unclaimed_events_can_be_marked_as_processing(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let refused = async |id| {
        let refused = store.mark_as_processing(id, LEASE).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused}");
    };
    let later = create(store, event(1).with_delay(SECOND)).await;
    refused(later.id).await;
    clock.advance(SECOND);
    let claimed = store.mark_as_processing(later.id, 2 * LEASE).await.unwrap();
    assert_eq!(claimed.lease.expires_at, after(clock.now(), 2 * LEASE));
    refused(later.id).await;
    complete(store, &claimed).await;
    refused(later.id).await;
    let dead = create(store, event(2)).await;
    settle(store, &claim_one(store).await, buried()).await;
    refused(dead.id).await;
}

pub(super) async fn a_reset_changes_only_failed_and_dead_events(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let pending = create(store, event(1).with_delay(SECOND)).await;
    let completed = create(store, event(2)).await;
    complete(store, &claim_one(store).await).await;
    let claimed = create(store, event(3)).await;
    let _ = claim_one(store).await;
    let dead = create(store, event(4)).await;
    settle(store, &claim_one(store).await, buried()).await;
    let others = [pending.id, completed.id, claimed.id, uuid::Uuid::nil()];
    let mut before = Vec::new();
    for id in others {
        before.push(store.fetch_event(id).await.unwrap());
    }
    let ids = [&others[..], &[dead.id]].concat();
    assert_eq!(store.reset_for_retry(&ids).await.unwrap(), 1);
    for (id, before) in others.into_iter().zip(before) {
        assert_eq!(store.fetch_event(id).await.unwrap(), before);
    }
    let reset = fetch(store, &dead).await;
    assert_eq!(reset.status, OutboxStatus::Pending);
    assert_eq!(reset.next_attempt_at, clock.now(), "due now");
}

pub(super) async fn an_event_behind_another_cannot_be_marked_as_processing(
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

pub(super) async fn reassigning_a_user_keeps_the_order_of_events(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let of =
        |user: &'static str, entity: i64| NewEvent::new("test", entity, user, Operation::Update);
    let ordered_by_user = |event: NewEvent| event.with_order(Order::User);
    let first = create(store, of("local", 1)).await;
    let second = create(store, of("u1", 1)).await;
    let third = create(store, of("local", 1)).await;
    let later = create(store, of("local", 2).with_delay(SECOND)).await;
    let alone = NewEvent::new("log", 1, "local", Operation::Update).with_order(Order::None);
    let alone = create(store, alone).await;
    let other = create(store, ordered_by_user(of("u1", 3))).await;
    let behind = create(store, ordered_by_user(of("local", 4))).await;
    let untouched = create(store, of("u2", 1)).await;

    assert_eq!(store.reassign_user("local", "u1").await.unwrap(), 5);
    assert_eq!(store.reassign_user("local", "u1").await.unwrap(), 0);
    let ids = |claims: &[Claim]| {
        claims
            .iter()
            .map(|claim| claim.event.id)
            .collect::<Vec<_>>()
    };
    let claims = claim(store, 10).await;
    assert_eq!(ids(&claims), [first.id, alone.id, other.id, untouched.id]);
    assert_eq!(claims[0].event.user_id, "u1");
    assert_eq!(claims[3].event.user_id, "u2");
    for claim in &claims {
        complete(store, claim).await;
    }
    let claims = claim(store, 10).await;
    assert_eq!(ids(&claims), [second.id, behind.id]);
    complete(store, &claims[0]).await;
    assert_eq!(ids(&claim(store, 10).await), [third.id]);
    clock.advance(SECOND);
    assert_eq!(ids(&claim(store, 10).await), [later.id]);
}

pub(super) async fn events_in_progress_are_not_reassigned(store: Store<'_>, _: &ManualClock) {
    create(store, event(1)).await;
    let waiting = create(store, event(2)).await;
    let claimed = claim_one(store).await;
    let refused = store.reassign_user("u1", "u2").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert_eq!(fetch(store, &waiting).await.user_id, "u1", "none is moved");
    complete(store, &claimed).await;
    let refused = store.reassign_user("u1", "").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::InvalidArgument);
    assert_eq!(store.reassign_user("u1", "u2").await.unwrap(), 2);
    assert_eq!(fetch(store, &claimed.event).await.user_id, "u2");
}

pub(super) async fn an_edit_changes_only_editable_fields(store: Store<'_>, clock: &ManualClock) {
    let mut edited = create(store, event(1)).await;
    edited.priority = 7;
    edited.max_attempts = 2;
    edited.metadata = Some(RawMetadata::from_bytes("[]"));
    edited.metadata_version = 3;
    edited.next_attempt_at = after(clock.now(), SECOND);
    store.update_event(&edited).await.unwrap();
    let refused = store.update_event(&edited).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        StoreErrorKind::Conflict,
        "the event was edited since"
    );
    edited.revision += 1;
    assert_eq!(fetch(store, &edited).await, edited);
    assert!(claim(store, 1).await.is_empty(), "due later now");

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

pub(super) async fn an_edit_of_an_outdated_revision_is_refused(store: Store<'_>, _: &ManualClock) {
    let seen = create(store, change_of(1, Order::Entity, "old")).await;
    let folded = create(store, change_of(1, Order::Entity, "new")).await;
    assert_eq!(folded.id, seen.id);
    let mut edited = seen.clone();
    edited.priority = 9;
    let refused = store.update_event(&edited).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    assert!(refused.to_string().contains("revision"), "{refused}");
    assert_eq!(
        fetch(store, &seen).await,
        folded,
        "the newer change is kept"
    );
    // An edit of the current revision succeeds once; after it, that revision is outdated.
    let mut edited = folded.clone();
    edited.priority = 9;
    store.update_event(&edited).await.unwrap();
    let stored = fetch(store, &seen).await;
    assert_eq!((stored.priority, &stored.metadata), (9, &folded.metadata));
    let refused = store.update_event(&edited).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    let mut edited = stored.clone();
    edited.max_attempts = 0;
    store.update_event(&edited).await.unwrap_err();
    assert_eq!(fetch(store, &seen).await, stored);
}

pub(super) async fn a_refused_edit_leaves_the_event_claimable(store: Store<'_>, _: &ManualClock) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    settle(store, &claimed, buried()).await;
    store.reset_for_retry(&[created.id]).await.unwrap();
    store.reassign_user("u1", "u2").await.unwrap();
    let mut edited = fetch(store, &created).await;
    edited.destination = Some("elsewhere".to_owned());
    let refused = store.update_event(&edited).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused}");
    assert_eq!(claim_one(store).await.event.id, created.id);
}

pub(super) async fn lowering_the_attempt_limit_below_the_count_allows_one_more(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let event = create(store, event(1)).await;
    for _ in 0..3 {
        let claimed = store.mark_as_processing(event.id, LEASE).await.unwrap();
        let failed = Disposition::Fail {
            next_attempt_at: clock.now(),
            message: "no".to_owned(),
        };
        settle(store, &claimed, failed).await;
    }
    let mut edited = fetch(store, &event).await;
    assert_eq!(edited.attempt_count, 3);
    edited.max_attempts = 2;
    store.update_event(&edited).await.unwrap();
    let claimed = store.mark_as_processing(event.id, LEASE).await.unwrap();
    let settled = store.mark_as_failed(&claimed.lease, "no").await.unwrap();
    assert_eq!(settled, Settled::Recorded);
    let dead = fetch(store, &event).await;
    assert_eq!((dead.status, dead.attempt_count), (OutboxStatus::Dead, 4));
}

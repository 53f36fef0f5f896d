//! Events that handlers complete before they answer.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim, claim_one, create, entities, event, fetch, settle,
};
use crate::ManualClock;
use outbox_runtime::store::{Completion, Disposition, LeaseToken, Rescued, Settled};
use outbox_runtime::{
    Clock, CompleteError, EnqueueError, Enqueued, NewEvent, Operation, OutboxStatus,
};

async fn complete_ahead(store: Store<'_>, completion: Completion) {
    let next = store.complete_event(completion, None).await.unwrap();
    assert_eq!(next, None);
}

pub(super) async fn an_event_completed_by_its_handler_stays_completed(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let answers = [
        Disposition::Complete,
        Disposition::Fail {
            next_attempt_at: clock.now(),
            message: "no".to_owned(),
        },
        buried(),
    ];
    for (entity, answer) in (1..).zip(answers) {
        let created = create(store, event(entity)).await;
        let claimed = claim_one(store).await;
        clock.advance(SECOND);
        complete_ahead(store, Completion::new(claimed.lease)).await;
        let done = fetch(store, &created).await;
        assert_eq!(done.status, OutboxStatus::Completed);
        assert_eq!(done.completed_at, Some(clock.now()));
        assert_eq!((done.attempt_count, done.error_message.clone()), (1, None));
        assert_eq!((done.lease_token, done.lease_expires_at), (None, None));
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(statistics.completed_count, u64::try_from(entity).unwrap());
        assert_eq!(statistics.processing_count, 0);
        let settled = settle(store, &claimed, answer.clone()).await;
        assert_eq!(settled, Settled::AlreadyCompleted, "{answer:?}");
        assert_eq!(fetch(store, &created).await, done, "{answer:?}");
        let settled = settle(store, &claimed, answer).await;
        assert_eq!(settled, Settled::LeaseLost, "it is answered once");
    }
}

pub(super) async fn a_completion_by_a_handler_unblocks_the_next_event(
    store: Store<'_>,
    _: &ManualClock,
) {
    create(store, event(1)).await;
    let second = create(store, event(1)).await;
    let first = claim_one(store).await;
    assert!(claim(store, 9).await.is_empty());
    let seen = store.revision();
    complete_ahead(store, Completion::new(first.lease)).await;
    store.changed(seen).await;
    let next = claim_one(store).await;
    assert_eq!(next.event.id, second.id, "before the handler answers");
    let settled = settle(store, &first, Disposition::Complete).await;
    assert_eq!(settled, Settled::AlreadyCompleted);
    let settled = settle(store, &next, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
}

pub(super) async fn a_completion_under_a_lost_lease_writes_nothing(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let old = claim_one(store).await;
    let mut stolen = old.lease;
    stolen.token = LeaseToken::random();
    let refused = |lease, why: &'static str| async move {
        for next in [None, Some(event(2))] {
            let answer = store.complete_event(Completion::new(lease), next).await;
            assert!(
                matches!(answer, Err(CompleteError::LeaseLost { event_id }) if event_id == created.id),
                "{why}: {answer:?}"
            );
        }
    };
    refused(stolen, "another token").await;
    clock.advance(LEASE);
    refused(old.lease, "the lease has ended").await;
    let _ = store.rescue().await.unwrap();
    let new = claim_one(store).await;
    refused(old.lease, "another worker holds it").await;
    assert_eq!(fetch(store, &new.event).await, new.event);
    let settled = settle(store, &old, Disposition::Complete).await;
    assert_eq!(settled, Settled::LeaseLost);
    let settled = settle(store, &new, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
    refused(new.lease, "the outcome is recorded").await;
    assert!(store.delete_event(new.event.id).await.unwrap());
    refused(new.lease, "it was deleted").await;
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
}

pub(super) async fn completing_an_event_again_changes_nothing(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    let completion = Completion::new(claimed.lease);
    complete_ahead(store, completion).await;
    let done = fetch(store, &created).await;
    clock.advance(SECOND);
    complete_ahead(store, completion).await;
    let next = event(2);
    for _ in 0..2 {
        let answer = store.complete_event(completion, Some(next.clone())).await;
        assert_eq!(
            answer.unwrap().map(outbox_runtime::Enqueued::carried_by),
            Some(next.id())
        );
    }
    assert_eq!(fetch(store, &created).await, done);
    assert_eq!(entities(&claim(store, 9).await), [2]);
    let settled = settle(store, &claimed, Disposition::Complete).await;
    assert_eq!(settled, Settled::AlreadyCompleted);
}

pub(super) async fn a_lease_is_renewed_until_its_handler_answers(
    store: Store<'_>,
    clock: &ManualClock,
) {
    create(store, event(1)).await;
    let claimed = claim_one(store).await;
    complete_ahead(store, Completion::new(claimed.lease)).await;
    // Longer than the lease: a suspended process may answer late.
    clock.advance(LEASE * 60);
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
    let ends = outbox_runtime::__private::clock::after(clock.now(), LEASE);
    assert_eq!(renewed[0].map(|lease| lease.expires_at), Some(ends));
    let settled = settle(store, &claimed, Disposition::Complete).await;
    assert_eq!(settled, Settled::AlreadyCompleted);
    let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(renewed, [None]);
}

pub(super) async fn an_event_is_completed_together_with_the_next(
    store: Store<'_>,
    _: &ManualClock,
) {
    let created = create(store, event(1)).await;
    let waiting = create(store, event(1)).await;
    let claimed = claim_one(store).await;
    let completion = Completion::new(claimed.lease);
    let known = waiting.id;
    let conflict = NewEvent::new("task", 7, "u1", Operation::Delete).with_id(known);
    let answer = store.complete_event(completion, Some(conflict)).await;
    assert!(
        matches!(
            answer,
            Err(CompleteError::Next {
                source: EnqueueError::Conflict { event_id },
                ..
            }) if event_id == known
        ),
        "{answer:?}"
    );
    let nameless = NewEvent::new("task", 7, "", Operation::Delete);
    let answer = store.complete_event(completion, Some(nameless)).await;
    assert!(
        matches!(
            answer,
            Err(CompleteError::Next {
                source: EnqueueError::Invalid { .. },
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!(fetch(store, &created).await, claimed.event, "neither");
    let next = event(1);
    let answer = store.complete_event(completion, Some(next.clone())).await;
    assert_eq!(
        answer.unwrap().map(outbox_runtime::Enqueued::carried_by),
        Some(next.id())
    );
    assert_eq!(fetch(store, &created).await.status, OutboxStatus::Completed);
    for expected in [waiting.id, next.id()] {
        let claimed = claim_one(store).await;
        assert_eq!(claimed.event.id, expected, "after what waited already");
        settle(store, &claimed, Disposition::Complete).await;
    }
}

pub(super) async fn an_event_is_superseded_once_under_a_lease(store: Store<'_>, _: &ManualClock) {
    // One that is kept and one that is not, the second with a follower that takes an older's place.
    for (entity, is_kept) in [(1, true), (2, false)] {
        create(store, event(entity)).await;
        let claimed = claim_one(store).await;
        let completion = match is_kept {
            true => Completion::new(claimed.lease),
            false => Completion::new(claimed.lease).not_kept(),
        };
        let waits = event(3).with_key("picture");
        let next = || event(4).with_key("picture");
        let mut old = None;
        if !is_kept {
            old = Some(create(store, waits).await.id);
        }
        let [first, second] = [next(), next()];
        let (event_id, other) = (first.id(), second.id());
        let answer = store.complete_event(completion, Some(first)).await.unwrap();
        let expected = match old {
            Some(replaced) => Enqueued::Replaced { event_id, replaced },
            None => Enqueued::New(event_id),
        };
        assert_eq!(answer, Some(expected));
        let again = store.complete_event(completion, Some(second.clone()));
        assert_eq!(again.await.unwrap(), answer, "what the first call did");
        assert!(store.fetch_event(other).await.unwrap().is_none());
        let settled = settle(store, &claimed, Disposition::Complete).await;
        assert_eq!(settled, Settled::AlreadyCompleted);
        // The handler has answered, so the lease is over.
        let late = store.complete_event(completion, Some(second)).await;
        assert!(
            matches!(late, Err(CompleteError::LeaseLost { .. })),
            "{late:?}"
        );
        let next = claim_one(store).await;
        assert_eq!(next.event.id, event_id);
        settle(store, &next, Disposition::Complete).await;
        assert!(claim(store, 9).await.is_empty());
    }
}

pub(super) async fn an_event_that_is_completed_and_not_kept_is_counted(
    store: Store<'_>,
    _: &ManualClock,
) {
    let created = create(store, event(1)).await;
    create(store, event(1)).await;
    for _ in 0..2 {
        let claimed = claim_one(store).await;
        let completion = Completion::new(claimed.lease).not_kept();
        complete_ahead(store, completion).await;
        complete_ahead(store, completion).await;
        let settled = settle(store, &claimed, Disposition::Remove).await;
        assert_eq!(settled, Settled::AlreadyCompleted);
    }
    assert_eq!(store.fetch_event(created.id).await.unwrap(), None);
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(
        (statistics.total_events, statistics.completed_total),
        (0, 2)
    );
}

pub(super) async fn a_rescue_leaves_what_handlers_completed(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1)).await;
    create(store, event(2)).await;
    let claims = claim(store, 2).await;
    complete_ahead(store, Completion::new(claims[0].lease)).await;
    let done = fetch(store, &created).await;
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 1, "the other one");
    assert_eq!(fetch(store, &created).await, done);
    assert_eq!(entities(&claim(store, 9).await), [2]);
}

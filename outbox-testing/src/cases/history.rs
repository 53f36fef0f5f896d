//! The history of events: their past attempts.

use super::helpers::{
    LEASE, SECOND, Store, buried, claim_one, complete, create, event, fetch, given_back, settle,
};
use crate::ManualClock;
use outbox_runtime::store::Disposition;
use outbox_runtime::{AttemptOutcome, Clock, PastAttempt, Refusal, RefusalClass};

fn failed(clock: &ManualClock, message: &str) -> Disposition {
    Disposition::Fail {
        next_attempt_at: clock.now(),
        message: message.to_owned(),
    }
}

pub(super) async fn attempts_that_were_not_delivered_are_kept_in_order(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let created = create(store, event(1).with_max_attempts(9)).await;
    assert_eq!(store.attempts(created.id).await.unwrap(), []);
    let refusal = Refusal::new(RefusalClass::Unavailable, "HTTP 503: later");
    let outcomes = [
        (failed(clock, "HTTP 500"), Some(AttemptOutcome::Failed)),
        (given_back(None), None),
        (
            Disposition::Defer {
                next_attempt_at: clock.now(),
                refusal,
            },
            Some(AttemptOutcome::Deferred),
        ),
        (
            Disposition::Snooze {
                next_attempt_at: clock.now(),
            },
            None,
        ),
        (buried(), Some(AttemptOutcome::Dead)),
    ];
    let messages = ["HTTP 500", "HTTP 503: later", "no"];
    let mut messages = messages.into_iter();
    let mut expected = Vec::new();
    for (disposition, outcome) in outcomes {
        let claim = claim_one(store).await;
        let began = clock.now();
        clock.advance(SECOND);
        settle(store, &claim, disposition).await;
        if let Some(outcome) = outcome {
            let message = messages.next();
            expected.push(PastAttempt::new(began, clock.now(), outcome, message));
        }
        assert_eq!(store.attempts(created.id).await.unwrap(), expected);
    }
    assert_eq!(expected[0].duration(), SECOND);
    // A retry keeps the history, a crash is part of it, and a delivery is not.
    store.reset_for_retry(&[created.id]).await.unwrap();
    let claim = claim_one(store).await;
    let began = clock.now();
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    let attempts = store.attempts(claim.event.id).await.unwrap();
    assert_eq!(attempts[..3], expected[..]);
    let crashed = &attempts[3];
    assert_eq!(crashed.outcome, AttemptOutcome::Crashed);
    assert_eq!((crashed.began_at, crashed.duration()), (began, LEASE));
    let claim = claim_one(store).await;
    complete(store, &claim).await;
    assert_eq!(store.attempts(created.id).await.unwrap(), attempts);
    // Other events have their own, and the history ends with the event.
    let other = create(store, event(2)).await;
    assert_eq!(store.attempts(other.id).await.unwrap(), []);
    assert!(store.delete_event(created.id).await.unwrap());
    assert_eq!(store.attempts(created.id).await.unwrap(), []);
}

pub(super) async fn the_history_of_an_event_is_bounded(store: Store<'_>, clock: &ManualClock) {
    let created = create(store, event(1).with_max_attempts(99)).await;
    for number in 0..30 {
        let claim = claim_one(store).await;
        let message = format!("failure {number}\nof \u{1f9ea} {}", "x".repeat(1_000));
        settle(store, &claim, failed(clock, &message)).await;
        clock.advance(SECOND);
    }
    let attempts = store.attempts(created.id).await.unwrap();
    assert_eq!(attempts.len(), PastAttempt::MAX_KEPT);
    for (number, attempt) in (10..30).zip(&attempts) {
        let message = attempt.message.as_deref().unwrap();
        let begin = format!("failure {number} of \u{1f9ea} xxx");
        assert!(message.starts_with(&begin), "{message}");
        assert_eq!(message.len(), PastAttempt::MAX_MESSAGE_BYTES);
    }
    // The history is no part of the event.
    assert_eq!(fetch(store, &created).await.attempt_count, 30);
}

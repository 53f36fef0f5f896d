//! One attempt without a store.

use std::time::Duration;

use outbox_runtime::{Charge, Delivery, HandlerSet, RefusalClass, Rejections, Scope, prelude::*};
use outbox_testing::{HandlerAnswer, KitError, perform, perform_with};
use outbox_tests::within;

use crate::{Goal, MoodEntry, goal, mood};

/// Answers with the error that `make` returns.
fn answering(make: fn() -> HandlerError) -> HandlerSet {
    HandlerSet::new().with(move |_: Event<Goal>| async move { Err(make()) })
}

#[tokio::test]
async fn an_attempt_ends_as_a_processor_ends_it() {
    let performed = within(perform(odd_one_out(), &goal(1))).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::Ok);
    assert!(performed.is_delivered() && performed.event.attempt_count == 1);
    assert_eq!(performed.message(), None);

    type Case = (fn() -> HandlerError, RefusalClass, &'static str);
    let cases: [Case; 5] = [
        (|| HandlerError::retry("500"), RefusalClass::Retry, "500"),
        (
            || HandlerError::unavailable("503"),
            RefusalClass::Unavailable,
            "503",
        ),
        (HandlerError::offline, RefusalClass::Offline, "offline"),
        (
            HandlerError::unauthenticated,
            RefusalClass::Unauthenticated,
            "the credentials were refused",
        ),
        (
            || HandlerError::rate_limited(Duration::from_secs(30)).because("429"),
            RefusalClass::RateLimited,
            "429",
        ),
    ];
    for (make, class, message) in cases {
        let performed = within(perform(answering(make), &goal(1))).await.unwrap();
        let error = make();
        let answer = HandlerAnswer::Error {
            delivery: error.delivery(),
            scope: Scope::Destination,
        };
        assert_eq!(performed.answer, answer);
        assert!(performed.is_retried(), "{class:?}: {performed:?}");
        let refusal = performed.event.last_refusal.as_ref().unwrap();
        assert_eq!((refusal.class, performed.event.attempt_count), (class, 0));
        assert!(
            performed.message().unwrap().contains(message),
            "{performed:?}"
        );
    }
}

#[tokio::test]
async fn final_answers_are_final() {
    let rejected = answering(|| HandlerError::permanent("422"));
    let performed = within(perform(rejected, &goal(1))).await.unwrap();
    assert!(performed.is_dead() && !performed.is_retried());
    assert_eq!(performed.message(), Some("422"));

    let performed = within(perform(
        answering(HandlerError::obsolete),
        goal(1).enqueue_delete(),
    ));
    let performed = performed.await.unwrap();
    assert!(performed.is_delivered());
    assert!(matches!(
        performed.answer,
        HandlerAnswer::Error {
            delivery: Delivery::Obsolete,
            ..
        }
    ));

    let snoozed = answering(|| HandlerError::snooze(Duration::from_secs(60)));
    let performed = within(perform(snoozed, &goal(1))).await.unwrap();
    assert_eq!((performed.event.snoozes, performed.message()), (1, None));
    assert!(performed.is_retried());

    let only_one = goal(1).enqueue_create().max_attempts(1);
    let performed = perform(answering(|| HandlerError::retry("500")), only_one);
    assert!(within(performed).await.unwrap().is_dead());
}

#[tokio::test]
async fn a_panic_is_an_answer_and_its_text_has_no_secrets() {
    let panics = HandlerSet::new().with(|event: Event<MoodEntry>| async move {
        panic!("cannot send {}", event.metadata().notes);
    });
    let performed = within(perform(panics, &mood(1, 0.5))).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::Panicked);
    let refusal = performed.event.last_refusal.as_ref().unwrap();
    assert_eq!(refusal.class, RefusalClass::Panic);
    let message = performed.message().unwrap();
    assert!(
        message.contains("cannot send") && !message.contains("my secret"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_is_that_of_the_entity_and_over_at_once_in_paused_time() {
    let hangs = || HandlerSet::new().with(|_: Event<Goal>| std::future::pending());
    let performed = perform(hangs(), &goal(1)).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::TimedOut);
    assert_eq!(performed.message(), Some("no answer within 20s"));
    let settings = |builder: outbox_runtime::ProcessorBuilder| {
        builder
            .charge(Charge::Always)
            .rejections(Rejections::Always)
    };
    let performed = perform_with(settings, hangs(), &goal(1)).await.unwrap();
    assert_eq!(performed.event.attempt_count, 1);
    assert_eq!(performed.event.status, OutboxStatus::Failed);
}

#[tokio::test]
async fn what_cannot_be_attempted_is_refused() {
    let refused = perform(odd_one_out(), &mood(1, 0.5)).await.unwrap_err();
    assert!(matches!(refused, KitError::NoHandler { .. }), "{refused}");
    let refused = perform(odd_one_out(), goal(1).enqueue_create().max_attempts(0));
    assert!(matches!(refused.await, Err(KitError::Enqueue(_))));
    let no_time = |builder: outbox_runtime::ProcessorBuilder| builder.lease(Duration::ZERO);
    let refused = perform_with(no_time, odd_one_out(), &goal(1)).await;
    assert!(matches!(refused, Err(KitError::Build(_))));
}

fn odd_one_out() -> HandlerSet {
    HandlerSet::new().with(|_: Event<Goal>| async { Ok(()) })
}

//! One attempt without a store.

use std::time::Duration;

use outbox_runtime::{
    BatchOrder, Batching, Charge, Delivery, HandlerSet, RefusalClass, Rejections, Scope, prelude::*,
};
use outbox_testing::{
    HandlerAnswer, KitError, Performed, perform, perform_batch, perform_batch_with, perform_with,
};
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

#[tokio::test(start_paused = true)]
async fn a_long_time_limit_is_waited_for() {
    let hour = Duration::from_secs(3_600);
    let hangs = HandlerSet::new().with(|_: Event<MoodEntry>| std::future::pending());
    let settings =
        |builder: outbox_runtime::ProcessorBuilder| builder.timeout(hour).lease(2 * hour);
    let performed = perform_with(settings, hangs, &mood(1, 0.5)).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::TimedOut);
    assert_eq!(performed.message(), Some("no answer within 3600s"));
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

/// A set whose handler gets batches of at most three goals and answers as `answer` does.
fn in_batches(answer: fn(&Batch<Event<Goal>>) -> Result<(), HandlerError>) -> HandlerSet {
    HandlerSet::new().with_batch::<Goal>(Batching::of(3), move |batch| {
        let answer = answer(&batch);
        async move { answer }
    })
}

fn goals<const N: usize>() -> [Goal; N] {
    std::array::from_fn(|at| goal(i64::try_from(at).unwrap()))
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_result() {
    let handlers = in_batches(|batch| {
        assert_eq!(batch.len(), 3);
        batch.ok(0);
        batch.fail(1, HandlerError::permanent("422"));
        Err(HandlerError::retry("500"))
    });
    let performed = within(perform_batch(handlers, &goals::<3>())).await;
    let performed = performed.unwrap();
    assert!(performed[0].is_delivered());
    assert!(performed[1].is_dead());
    assert_eq!(performed[1].message(), Some("422"));
    // The event that got through is evidence that the service works, so the third is charged.
    assert_eq!(performed[2].message(), Some("500"));
    let ids = performed.iter().map(|it| it.event.entity_id.clone());
    assert_eq!(ids.collect::<Vec<_>>(), [0.into(), 1.into(), 2.into()]);
    let answers = performed.into_iter().map(|performed| performed.answer);
    let error = |delivery| HandlerAnswer::Error {
        delivery,
        scope: Scope::Destination,
    };
    assert_eq!(
        answers.collect::<Vec<_>>(),
        [
            HandlerAnswer::Ok,
            error(Delivery::Permanent),
            error(Delivery::Retry { after: None })
        ]
    );

    let delivers = in_batches(|_| Ok(()));
    let delivered = within(perform_batch(delivers, &goals::<2>())).await;
    assert!(delivered.unwrap().iter().all(Performed::is_delivered));
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_leaves_its_events_to_its_halves() {
    let handlers = in_batches(|_| Err(HandlerError::permanent("422")));
    let performed = within(perform_batch(handlers, &goals::<3>())).await;
    for performed in performed.unwrap() {
        assert!(performed.is_retried(), "{performed:?}");
        assert_eq!(performed.event.attempt_count, 0);
    }
    let handlers = in_batches(|_| Err(HandlerError::unavailable("503")));
    let performed = within(perform_batch(handlers, &goals::<2>())).await;
    for performed in performed.unwrap() {
        assert!(performed.is_retried(), "{performed:?}");
        assert_eq!(performed.event.attempt_count, 0);
    }
}

#[tokio::test]
async fn a_batch_in_order_holds_back_what_follows_a_failure() {
    let batching = Batching::of(9).in_order(BatchOrder::Keep);
    let handlers = HandlerSet::new().with_batch(batching, |batch: Batch<Event<Goal>>| async move {
        for index in [0, 2] {
            batch.ok(index);
        }
        batch.fail(1, HandlerError::permanent("HTTP 422"));
        Ok(())
    });
    let changes = (0..3).map(|_| goal(1).enqueue_update());
    let performed = within(perform_batch(handlers, changes)).await.unwrap();
    assert!(performed[0].is_delivered() && performed[1].is_dead());
    assert_eq!(performed[2].answer, HandlerAnswer::Ok);
    assert_eq!(performed[2].event.status, OutboxStatus::Pending);
    assert_eq!(performed[2].event.attempt_count, 0);
}

#[tokio::test]
async fn answers_for_single_events_stand_if_the_batch_panics() {
    let handlers = in_batches(|batch| {
        batch.ok(1);
        panic!("at the second");
    });
    let always = |builder: outbox_runtime::ProcessorBuilder| builder.charge(Charge::Always);
    let performed = within(perform_batch_with(always, handlers, &goals::<2>())).await;
    let performed = performed.unwrap();
    assert_eq!(performed[0].answer, HandlerAnswer::Panicked);
    assert_eq!(performed[0].event.status, OutboxStatus::Failed);
    assert!(performed[1].is_delivered());
}

#[tokio::test]
async fn what_is_not_one_batch_is_refused() {
    let ok = || in_batches(|_| Ok(()));
    let refused = within(perform_batch(ok(), &goals::<4>())).await;
    assert!(matches!(
        refused,
        Err(KitError::NotOneBatch {
            events: 4,
            first: 3
        })
    ));
    let twice = [goal(1).enqueue_create(), goal(1).enqueue_update()];
    let refused = within(perform_batch(ok(), twice)).await.unwrap_err();
    assert!(refused.to_string().contains("one of each entity"));
    let two_users = [("a", 1), ("b", 2)].map(|(user_id, id)| Goal {
        id,
        user_id: user_id.to_owned(),
    });
    let refused = within(perform_batch(ok(), &two_users)).await.unwrap_err();
    assert!(matches!(refused, KitError::NotOneBatch { first: 1, .. }));
    let refused = within(perform_batch(odd_one_out(), &goals::<2>())).await;
    assert!(matches!(refused, Err(KitError::OneByOne { .. })));
    let refused = within(perform_batch(ok(), [&mood(1, 0.5)])).await;
    assert!(matches!(refused, Err(KitError::NoHandler { .. })));
    let nothing: [&Goal; 0] = [];
    assert!(perform_batch(ok(), nothing).await.unwrap().is_empty());
}

fn odd_one_out() -> HandlerSet {
    HandlerSet::new().with(|_: Event<Goal>| async { Ok(()) })
}

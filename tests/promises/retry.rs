//! The retry schedule, exact to the millisecond; it survives a restart because the row stores it.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{Charge, Clock, DeadReason, Processor, RetryPolicy, Running, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Remote, enqueue, note, on_each_store, start_with, within};
use uuid::Uuid;

const MILLISECOND: Duration = Duration::from_millis(1);

fn start(store: &Arc<dyn OutboxRepository>, retry: RetryPolicy) -> (Remote, Running) {
    // The timeout is none of the delays below, so that only the run sleeps until one of them.
    start_with(store, |builder| {
        // Without other events to compare with, a failure would not be charged.
        let builder = builder.charge(Charge::Always);
        builder.retry(retry).timeout(Duration::from_secs(59))
    })
}

/// Moves the clock to one millisecond before `due`, checks that nothing happens, then to `due`.
async fn reach(clock: &ManualClock, remote: &mut Remote, due: chrono::DateTime<chrono::Utc>) {
    // A processor that sleeps until exactly then has nothing else to do.
    within(clock.until_asleep(due)).await;
    clock.set(due - MILLISECOND);
    within(clock.until_asleep(due)).await;
    assert!(remote.is_quiet(), "one millisecond too early");
    clock.set(due);
}

#[test]
fn attempts_are_made_after_1_5_30_and_120_seconds_and_the_fifth_failure_is_the_last() {
    on_each_store(|store, clock| async move {
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let (mut remote, running) = start(&store, RetryPolicy::default().without_jitter());
        for (attempt, delay) in [(1, 1), (2, 5), (3, 30), (4, 120)] {
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, attempt);
            assert_eq!(
                call.event.id, event.id,
                "the key is the same on every attempt"
            );
            let due = clock.now() + chrono::TimeDelta::seconds(delay);
            call.fail(HandlerError::retry(format!("failure {attempt}")));
            reach(&clock, &mut remote, due).await;
        }
        let call = remote.next().await;
        assert_eq!(call.event.attempt_count, 5);
        call.fail(HandlerError::retry("failure 5"));
        let blocked = running.flush(1, Duration::from_secs(30)).await.unwrap();
        assert!(!blocked.is_delivered());
        let dead = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(dead.status, OutboxStatus::Dead);
        assert_eq!(dead.dead_reason, Some(DeadReason::AttemptsExhausted));
        assert_eq!(dead.error_message.as_deref(), Some("failure 5"));
        running.stop().await.unwrap();
    });
}

#[test]
fn the_last_delay_is_used_again_when_there_are_more_attempts_than_delays() {
    on_each_store(|store, clock| async move {
        enqueue(&store, note(1).enqueue_sync().max_attempts(4)).await;
        let schedule = [Duration::from_millis(1500), Duration::from_secs(7)];
        let (mut remote, running) = start(&store, RetryPolicy::new(schedule).without_jitter());
        for delay in [1_500, 7_000, 7_000] {
            let due = clock.now() + chrono::TimeDelta::milliseconds(delay);
            remote.next().await.fail(HandlerError::retry("no"));
            reach(&clock, &mut remote, due).await;
        }
        remote.next().await.ok();
        assert!(
            running
                .flush(1, Duration::from_secs(30))
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn an_entity_uses_its_own_schedule_and_attempts() {
    use outbox_runtime::OutboxEntity;

    #[derive(OutboxEntity)]
    #[outbox(event_type = "draft", retry = ["250ms", "2m"], max_attempts = 3)]
    struct Draft {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
    }

    on_each_store(|store, clock| async move {
        let draft = Draft {
            id: 1,
            user_id: "u1".to_owned(),
        };
        let event = enqueue(&store, draft.enqueue_sync()).await;
        assert_eq!(event.max_attempts, 3);
        let processor = Processor::builder(store.clone())
            .handle::<Draft>(|_| async { Err(HandlerError::retry("no")) })
            .retry(RetryPolicy::default().without_jitter())
            .charge(Charge::Always)
            .build()
            .unwrap();
        let running = processor.start("u1");
        for delay in [250, 120_000] {
            let due = clock.now() + chrono::TimeDelta::milliseconds(delay);
            within(clock.until_asleep(due)).await;
            clock.set(due);
        }
        assert!(
            !running
                .flush(1, Duration::from_secs(30))
                .await
                .unwrap()
                .is_delivered()
        );
        let dead = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!((dead.attempt_count, dead.status), (3, OutboxStatus::Dead));
        running.stop().await.unwrap();
    });
}

#[test]
fn a_longer_retry_after_wins_over_the_schedule_and_a_shorter_one_does_not() {
    on_each_store(|store, clock| async move {
        enqueue(&store, note(1).enqueue_sync()).await;
        let (mut remote, running) = start(&store, RetryPolicy::default().without_jitter());
        let busy = |after| HandlerError::retry("503").with_retry_after(Duration::from_secs(after));
        let due = clock.now() + chrono::TimeDelta::seconds(17);
        remote.next().await.fail(busy(17));
        reach(&clock, &mut remote, due).await;
        let due = clock.now() + chrono::TimeDelta::seconds(5);
        remote.next().await.fail(busy(2));
        reach(&clock, &mut remote, due).await;
        remote.next().await.ok();
        running.stop().await.unwrap();
    });
}

#[test]
fn jitter_lengthens_by_at_most_a_fifth_and_is_the_same_for_the_same_attempt() {
    let policy = RetryPolicy::default();
    let exact = RetryPolicy::default().without_jitter();
    let mut longest = 0.0_f64;
    for _ in 0..1_000 {
        let id = Uuid::now_v7();
        for failures in 1..=6 {
            let (jittered, base) = (policy.delay(failures, id), exact.delay(failures, id));
            assert_eq!(jittered, policy.delay(failures, id));
            let ratio = jittered.as_secs_f64() / base.as_secs_f64();
            assert!((1.0..1.2).contains(&ratio), "{ratio}");
            longest = longest.max(ratio);
        }
    }
    assert!(
        longest > 1.19,
        "the jitter must use its whole range: {longest}"
    );
}

#[test]
fn a_restart_during_a_delay_does_not_change_it() {
    on_each_store(|store, clock| async move {
        enqueue(&store, note(1).enqueue_sync()).await;
        let (mut remote, running) = start(&store, RetryPolicy::default().without_jitter());
        let due = clock.now() + chrono::TimeDelta::seconds(1);
        remote.next().await.fail(HandlerError::retry("no"));
        within(clock.until_asleep(due)).await;
        running.stop().await.unwrap();
        clock.advance(Duration::from_millis(400));
        let (mut remote, running) = start(&store, RetryPolicy::default().without_jitter());
        reach(&clock, &mut remote, due).await;
        assert_eq!(remote.next().await.event.attempt_count, 2);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_delayed_event_is_sent_when_it_is_due() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store, RetryPolicy::default());
        let delay = Duration::from_secs(5);
        let due = clock.now() + delay;
        enqueue(&store, note(1).enqueue_update().delay(delay)).await;
        reach(&clock, &mut remote, due).await;
        remote.next().await.ok();
        running.stop().await.unwrap();
    });
}

//! Rejections: `permanent` is final whichever failures are charged, and a deployment that rejects
//! everything pauses.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::{
    Charge, Clock, DeadReason, Enqueue, Processor, ProcessorBuilder, WaitsFor, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Remote, enqueue, note, on_each_store, start_with, within};

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "receipt", charge = "always")]
struct Receipt {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn stored(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

async fn assert_rejected(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) {
    let dead = stored(store, event).await;
    assert_eq!(
        (dead.status, dead.dead_reason, dead.attempt_count),
        (OutboxStatus::Dead, Some(DeadReason::Rejected), 1)
    );
    assert_eq!(dead.error_message.as_deref(), Some("HTTP 422"));
}

/// One event that is rejected once.
fn rejected_once<E: OutboxEntity>(
    change: impl Fn() -> Enqueue,
    configure: impl Fn(ProcessorBuilder) -> ProcessorBuilder,
) {
    let (change, configure) = (&change, &configure);
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::of::<E>();
        let builder = Processor::builder(store.clone()).handlers(handlers);
        let running = configure(builder).build().unwrap().start("u1");
        let event = enqueue(&store, change()).await;
        let permanent = HandlerError::permanent("HTTP 422");
        remote.next().await.fail(permanent);
        let flushed = running.flush(1, SOON).await.unwrap();
        assert!(!flushed.is_delivered());
        assert_rejected(&store, &event).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn permanent_is_final_where_the_processor_counts_every_failure() {
    rejected_once::<Note>(
        || note(1).enqueue_sync(),
        |builder| builder.charge(Charge::Always),
    );
}

#[test]
fn permanent_is_final_where_the_entity_counts_every_failure() {
    let receipt = || Receipt {
        id: 1,
        user_id: "u1".to_owned(),
    };
    rejected_once::<Receipt>(|| receipt().enqueue_sync(), |builder| builder);
}

#[test]
fn permanent_is_the_reason_even_with_a_single_attempt() {
    rejected_once::<Note>(|| note(1).enqueue_sync().max_attempts(1), |builder| builder);
}

/// Enqueues `count` notes and rejects each; returns the events.
async fn reject_all(
    store: &Arc<dyn OutboxRepository>,
    remote: &mut Remote,
    count: i64,
) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    for id in 1..=count {
        events.push(enqueue(store, note(id).enqueue_sync()).await);
        remote
            .next()
            .await
            .fail(HandlerError::permanent("HTTP 422"));
    }
    events
}

/// The time of the next probe of a deployment that is paused from now on.
fn probe_time(clock: &ManualClock) -> DateTime<Utc> {
    clock.now() + Duration::from_secs(60)
}

/// Moves the clock to the next probe of a paused deployment.
async fn reach_probe(clock: &ManualClock, remote: &mut Remote) {
    let probe_at = probe_time(clock);
    within(clock.until_asleep(probe_at)).await;
    assert!(remote.is_quiet(), "one probe a minute, and nothing else");
    clock.set(probe_at);
}

/// A deployment that rejects everything: 20 events are rejected, and the pause begins. The next
/// event is the first probe and is rejected too; it becomes a dead letter or not. Either way the
/// pause continues until a probe succeeds.
fn reject_the_first_probe(charge: Charge, max_attempts: u32, is_dead: bool) {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start_with(&store, |builder| {
            // Not the minute between probes, so that only the run sleeps until one of them.
            builder.charge(charge).timeout(Duration::from_secs(59))
        });
        let events = reject_all(&store, &mut remote, 20).await;
        let probe = note(21).enqueue_sync().max_attempts(max_attempts);
        let probe = enqueue(&store, probe).await;
        within(clock.until_asleep(probe_time(&clock))).await;
        let waits_for = running.explain(21).await.unwrap().waits_for;
        assert!(matches!(waits_for, WaitsFor::Outage { .. }), "{waits_for}");
        reach_probe(&clock, &mut remote).await;
        for event in &events {
            assert_rejected(&store, event).await;
        }
        let call = remote.next().await;
        assert_eq!((call.id(), call.event.attempt_count), (21, 1));
        call.fail(HandlerError::permanent("HTTP 422"));
        // Enqueued later, and never tried: this is the next probe, whatever happened to the first.
        enqueue(&store, note(22).enqueue_sync()).await;
        reach_probe(&clock, &mut remote).await;
        if is_dead {
            assert_rejected(&store, &probe).await;
        } else {
            let probe = stored(&store, &probe).await;
            let pending = (OutboxStatus::Pending, 0);
            assert_eq!((probe.status, probe.attempt_count), pending);
        }
        let call = remote.next().await;
        assert_eq!(call.id(), 22);
        call.ok();
        assert!(running.flush(22, SOON).await.unwrap().is_delivered());
        if !is_dead {
            let again = remote.next().await;
            assert_eq!((again.id(), again.event.attempt_count), (21, 1));
            again.ok();
            assert!(running.flush(21, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn when_everything_is_rejected_a_probe_is_given_back() {
    reject_the_first_probe(Charge::Evidence, 5, false);
}

#[test]
fn when_everything_is_rejected_charged_events_are_sent_no_more_often() {
    reject_the_first_probe(Charge::Always, 5, true);
    reject_the_first_probe(Charge::Evidence, 1, true);
}

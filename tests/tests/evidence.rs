//! Evidence: whose fault a refusal is, where the order of answers decides it.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{Clock, Processor, RefusalClass, RetryPolicy, WaitsFor, prelude::*};
use outbox_tests::{Remote, enqueue, note, on_each_store, within};

const SECOND: Duration = Duration::from_secs(1);

async fn stored(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

/// Event 1 fails, others get through, and event 1 is refused again for another reason, then fails once more: nobody got
/// through between the last two, so that says nothing about whose fault the last one is.
#[test]
fn a_refusal_for_another_reason_is_one_since_which_somebody_must_get_through() {
    for (other, wait) in [
        (HandlerError::rate_limited as fn(_) -> _, 3),
        (|_| HandlerError::unauthenticated(), 0),
    ] {
        on_each_store(|store, clock| async move {
            let (mut remote, handlers) = Remote::new();
            let running = Processor::builder(store.clone())
                .handlers(handlers)
                .retry(RetryPolicy::default().without_jitter())
                .build()
                .unwrap()
                .start("u1");
            let event = enqueue(&store, note(1).enqueue_sync()).await;
            let failing = remote.next().await;
            let neighbor = enqueue(&store, note(2).enqueue_sync()).await;
            let passing = remote.next().await;
            failing.fail(HandlerError::retry("HTTP 500"));
            passing.ok();
            let due = clock.now() + SECOND;
            within(clock.until_asleep(due)).await;
            let is_done = stored(&store, &neighbor).await.status == OutboxStatus::Completed;
            assert!(is_done);
            assert_eq!(stored(&store, &event).await.attempt_count, 1);
            clock.set(due);
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, 2);
            call.fail(other(SECOND * wait));
            if wait > 0 {
                let until = clock.now() + SECOND * wait;
                within(clock.until_asleep(until)).await;
                clock.set(until);
            }
            let call = remote.next().await;
            assert_eq!(call.event.attempt_count, 2, "no attempt is used up");
            call.fail(HandlerError::retry("HTTP 500"));
            let probe_at = clock.now() + SECOND;
            within(clock.until_asleep(probe_at)).await;
            let explanation = running.explain(1).await.unwrap();
            let WaitsFor::Outage(outage) = explanation.waits_for else {
                panic!("{explanation}");
            };
            assert_eq!(outage.class, RefusalClass::Retry);
            assert_eq!(stored(&store, &event).await.attempt_count, 1);
            running.stop().await.unwrap();
        });
    }
}

//! The state of refused users and destinations is forgotten once they have nothing left to send,
//! because they may never come back.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{Clock, Enqueue, Processor, Rejections, TroubleKind, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Remote, enqueue, note, note_of, on_each_store, within};

const SECOND: Duration = Duration::from_secs(1);
const MANY: i64 = 12;

fn outages(running: &Running) -> usize {
    let health = running.health();
    let kinds = health.troubles().iter().map(|trouble| &trouble.kind);
    kinds
        .filter(|kind| matches!(kind, TroubleKind::Outage { .. }))
        .count()
}

/// Delivers an event of another user, and waits for the record. `flush` would not do: it starts
/// probes.
async fn pass(store: &Arc<dyn OutboxRepository>, remote: &mut Remote, id: i64) {
    let event = enqueue(store, note(id).enqueue_sync()).await;
    remote.next().await.ok();
    within(async {
        let is_completed =
            |event: Option<OutboxEvent>| event.unwrap().status == OutboxStatus::Completed;
        while !is_completed(store.fetch_event(event.id).await.unwrap()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Refuses each event `times` times, one second apart. Each is then a dead letter, so its user or
/// destination has nothing left to send. Deliveries of others make the run claim again.
async fn assert_forgotten(
    store: Arc<dyn OutboxRepository>,
    clock: ManualClock,
    times: i64,
    change: fn(i64) -> Enqueue,
    error: fn() -> HandlerError,
) {
    let (mut remote, handlers) = Remote::new();
    let running = Processor::builder(store.clone())
        .handlers(handlers)
        .rejections(Rejections::Always)
        .on_unauthenticated(|_| async { Ok(()) })
        .build()
        .unwrap()
        .start_all_users();
    let mut others = 0;
    for id in 1..=MANY {
        enqueue(&store, change(id)).await;
        for _ in 0..times {
            let call = remote.next().await;
            assert_eq!(call.id(), id);
            call.fail(error());
        }
        // Without it the whole service would seem to be down.
        others -= 1;
        pass(&store, &mut remote, others).await;
    }
    let due = clock.now() + SECOND;
    within(clock.until_asleep(due)).await;
    assert_eq!(outages(&running), MANY as usize);
    clock.set(due);
    for _ in 0..MANY {
        remote
            .next()
            .await
            .fail(HandlerError::permanent("HTTP 410"));
    }
    for _ in 0..MANY {
        others -= 1;
        pass(&store, &mut remote, others).await;
    }
    assert_eq!(outages(&running), 0, "{:?}", running.health());
    within(running.stop()).await.unwrap();
}

#[test]
fn the_circuits_of_users_who_have_nothing_left_are_forgotten() {
    on_each_store(|store, clock| {
        let change = |id| note_of(&format!("user {id}"), id).enqueue_sync();
        let error = || HandlerError::rate_limited(SECOND).for_user();
        assert_forgotten(store, clock, 1, change, error)
    });
}

#[test]
fn the_credentials_of_users_who_have_nothing_left_are_forgotten() {
    on_each_store(|store, clock| {
        let change = |id| note_of(&format!("user {id}"), id).enqueue_sync();
        assert_forgotten(store, clock, 2, change, HandlerError::unauthenticated)
    });
}

#[test]
fn the_circuits_of_destinations_that_have_nothing_left_are_forgotten() {
    on_each_store(|store, clock| {
        let change = |id| {
            note(id)
                .enqueue_sync()
                .destination(format!("host-{id}.example.org"))
        };
        let error = || HandlerError::unavailable("HTTP 503");
        assert_forgotten(store, clock, 1, change, error)
    });
}

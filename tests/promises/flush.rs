//! A flush answers exactly for the given entity, and reports when there is nothing to answer for.

use std::time::Duration;

use chrono::TimeDelta;
use outbox_runtime::{Clock, Flushed, NewEvent, StoreErrorKind, WaitsFor, prelude::*};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Task, enqueue, note, note_of, on_each_store, start, start_all_users, within};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn an_entity_that_was_never_enqueued_has_nothing_to_flush() {
    on_each_store(|store, _| async move {
        let (_remote, running) = start(&store);
        let flushed = running.flush(1, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::NothingThere);
        assert!(!flushed.is_delivered());
        let event = Uuid::now_v7();
        let flushed = running.flush_event(event, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::NothingThere);
        let flushed = running.flush_entity(&note(1), SOON).await.unwrap();
        assert_eq!(flushed, Flushed::NothingThere);
        running.stop().await.unwrap();
    });
}

#[test]
fn an_id_of_another_kind_type_or_user_is_another_entity() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::Delivered);
        let delivered = running.flush_event(event.id, SOON).await.unwrap();
        assert_eq!(delivered, Flushed::Delivered);
        let delivered = running.flush_entity(&note(1), SOON).await.unwrap();
        assert_eq!(delivered, Flushed::Delivered);

        let other_kind = running.flush("note-1", SOON).await.unwrap();
        assert_eq!(other_kind, Flushed::NothingThere);
        let task = Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        let other_type = running.flush_entity(&task, SOON).await.unwrap();
        assert_eq!(other_type, Flushed::NothingThere);
        let theirs = enqueue(&store, note_of("u2", 2).enqueue_sync()).await;
        let other_user = running.flush(2, SOON).await.unwrap();
        assert_eq!(other_user, Flushed::NothingThere);
        let other_user = running.flush_event(theirs.id, SOON).await.unwrap();
        assert_eq!(other_user, Flushed::NothingThere);
        let other_user = running.flush_entity(&note_of("u2", 2), SOON).await.unwrap();
        assert_eq!(other_user, Flushed::NothingThere);
        running.stop().await.unwrap();
    });
}

#[test]
fn after_clean_up_there_is_nothing_to_flush() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        let later = clock.now() + TimeDelta::days(1);
        assert_eq!(store.delete_completed_events(later).await.unwrap(), 1);
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::NothingThere);
        let flushed = running.flush_event(event.id, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::NothingThere);
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_returned_event_id_can_be_flushed_even_after_folding() {
    let store = MemoryStore::new();
    let (mut remote, running) = start_all_users(&store, |builder| builder);
    let enqueued = note(1).enqueue_sync().on(&store).await.unwrap();
    let again = note(1).enqueue_update().on(&store).await.unwrap();
    remote.next().await.ok();
    let flushed = running.flush_event(enqueued, SOON).await.unwrap();
    assert_eq!(flushed, Flushed::Delivered, "later events do not count");
    let call = remote.next().await;
    let flush = running.flush_event(again, SOON);
    let (flushed, ()) = tokio::join!(flush, async { call.ok() });
    assert_eq!(flushed.unwrap(), Flushed::Delivered);
    running.stop().await.unwrap();
}

#[test]
fn a_flush_of_a_dead_or_unhandled_event_is_blocked() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::permanent("no"));
        let flushed = within(running.flush_event(event.id, SOON)).await.unwrap();
        let Flushed::Blocked(why) = flushed else {
            panic!("{flushed:?}");
        };
        assert!(
            matches!(why.waits_for, WaitsFor::Decision { event_id, .. } if event_id == event.id)
        );
        let unknown = NewEvent::new("mood.created", 2, "u1", Operation::Create);
        let unknown = store.create_event(unknown).await.unwrap();
        let flushed = within(running.flush_event(unknown.id, SOON)).await.unwrap();
        assert!(matches!(flushed, Flushed::Blocked(_)), "{flushed:?}");
        running.stop().await.unwrap();
    });
}

/// The timeout of a wait runs in real time, whatever the store's clock does.
#[test]
fn a_flush_times_out_on_a_stopped_clock() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let before = clock.now();
        let flushed = within(running.flush(1, Duration::from_millis(1))).await;
        assert!(matches!(flushed.unwrap(), Flushed::TimedOut(_)));
        assert_eq!(clock.now(), before);
        call.ok();
        running.stop().await.unwrap();
    });
}

#[test]
fn a_stop_of_a_failing_store_times_out_on_a_stopped_clock() {
    on_each_store(|store, _| async move {
        for faults in [1, 100] {
            let faulty = FaultStore::new(store.clone());
            let (mut remote, running) = outbox_tests::start_with(&faulty, |builder| {
                builder.stop_deadline(Duration::from_millis(1))
            });
            enqueue(&store, note(1).enqueue_sync()).await;
            let _hanging = remote.next().await;
            for _ in 0..faults {
                let fails = Fault::Fail(StoreErrorKind::Unavailable);
                faulty.fail_next(StoreCall::Settle, fails);
            }
            let stopped = within(running.stop()).await;
            match faults {
                1 => assert_eq!(stopped.unwrap().given_back, 1),
                _ => assert_eq!(stopped.unwrap_err().kind(), StoreErrorKind::Unavailable),
            }
        }
    });
}

#[test]
fn stops_suspensions_and_drains_time_out_on_a_stopped_clock() {
    on_each_store(|store, _| async move {
        let moment = Duration::from_millis(1);
        let (mut remote, running) = outbox_tests::start_with(&store, |builder| {
            builder.stop_deadline(moment).max_concurrency(1)
        });
        enqueue(&store, note(1).enqueue_sync()).await;
        let _hanging = remote.next().await;
        let drain = outbox_runtime::SignOut::Drain { deadline: moment };
        let left = within(running.sign_out("u1", drain)).await.unwrap();
        assert_eq!(left.undelivered, 1);
        running.sign_in("u1").await;
        let _hanging = remote.next().await;
        let stopped = within(running.suspend(moment)).await.unwrap();
        assert_eq!(stopped.given_back, 1);
        within(running.resume()).await.unwrap();
        let _hanging = remote.next().await;
        assert_eq!(within(running.stop()).await.unwrap().given_back, 1);
    });
}

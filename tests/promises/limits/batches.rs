//! Batches are calls, too.

use outbox_runtime::{Batching, HandlerSet, prelude::*};
use outbox_tests::enqueue;

use super::service::{
    Parcel, Service, build, let_time_pass_until, most_within, on_memory, parcel, parcel_of,
    settled, with_status,
};
use super::{SECOND, SLOW};

#[test]
fn a_batch_is_one_call_of_its_destination() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..100 {
            let user = format!("user {}", id % 5);
            enqueue(&*store, parcel_of(&user, id, SLOW).enqueue_sync()).await;
        }
        let set = service.batch_handlers::<Parcel>(Batching::of(10));
        let processor = build(&store, set, |builder| {
            builder
                .limit(SLOW, 2)
                .pace(SLOW, Pace::per_second(1).burst(3))
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 100).await;
        assert_eq!(service.most_under_way(SLOW), 2);
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert_eq!(begins.len(), 10, "full batches: {begins:?}");
        assert!(most_within(&begins, SECOND) <= 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_that_waits_for_more_events_has_a_place() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 2);
        for id in 0..6 {
            let user = format!("user {id}");
            enqueue(&*store, parcel_of(&user, id, SLOW).enqueue_sync()).await;
        }
        let set = service.batch_handlers::<Parcel>(Batching::of(10).within(SECOND * 2));
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let running = processor.start_all_users();
        settled().await;
        assert_eq!(service.delivered(), 0);
        assert_eq!(
            with_status(&*store, OutboxStatus::Processing).await.len(),
            2
        );
        // Each of them may still be filled.
        let claimed = with_status(&*store, OutboxStatus::Processing).await;
        assert_eq!(claimed.len(), 2);
        let user = claimed[0].user_id.clone();
        enqueue(&*store, parcel_of(&user, 50, SLOW).enqueue_sync()).await;
        settled().await;
        assert_eq!(
            with_status(&*store, OutboxStatus::Processing).await.len(),
            3
        );
        let_time_pass_until(&service, 7).await;
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.len());
        assert_eq!(begins, 6, "a batch of two");
        assert_eq!(service.most_under_way(SLOW), 2);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

/// A poisoned event among many: all halves are calls.
#[test]
fn the_halves_of_a_refused_batch_obey_the_limit_and_the_pace() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 10);
        for id in 0..64 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let called = service.clone();
        let set = HandlerSet::new().with_batch::<Parcel>(Batching::of(64), move |batch| {
            let service = called.clone();
            async move {
                let events: Vec<OutboxEvent> =
                    batch.iter().map(|event| (**event).clone()).collect();
                service.call(&events).await;
                match events
                    .iter()
                    .any(|event| event.entity_id.as_integer() == Some(37))
                {
                    true => Err(HandlerError::permanent("422")),
                    false => Ok(()),
                }
            }
        });
        let processor = build(&store, set, |builder| {
            builder.limit(SLOW, 1).pace(SLOW, Pace::per_second(1))
        });
        let running = processor.start("u1");
        let mut statistics = running.statistics().await.unwrap();
        for _ in 0..200 {
            if statistics.dead_count + statistics.completed_count == 64 {
                break;
            }
            settled().await;
            clock.set(clock.next_deadline().expect("the run waits for nothing"));
            settled().await;
            statistics = running.statistics().await.unwrap();
        }
        assert_eq!((statistics.dead_count, statistics.completed_count), (1, 63));
        assert_eq!(service.most_under_way(SLOW), 1);
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert!(begins.len() <= 15, "{}", begins.len());
        assert_eq!(most_within(&begins, SECOND), 1);
        running.stop().await.unwrap();
    });
}

//! Which events are in a batch, and how long it waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use outbox_runtime::{Batching, Clock, Pause, Processor, WaitsFor, prelude::*};
use outbox_tests::{enqueue, note, note_of, on_each_store, within};

use super::SECOND;
use super::service::{Service, completed, delivered, enqueue_notes, gathered, of_entity, start};

#[test]
fn a_batch_takes_what_is_due_up_to_its_size() {
    on_each_store(|store, _| async move {
        enqueue_notes(&store, 0..25).await;
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        let mut seen = BTreeSet::new();
        for size in [10, 10, 5] {
            let call = service.next().await;
            assert_eq!(call.batch.len(), size);
            for event in call.batch.iter() {
                assert_eq!(event.status, OutboxStatus::Processing);
                assert_eq!(event.attempt_count, 1);
                assert_eq!(event.metadata().text, format!("note {}", event.entity_id));
            }
            seen.extend(call.ids());
            call.answer(Ok(()));
        }
        assert_eq!(seen, (0..25).collect());
        delivered(&running, 0..25).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_waits_for_more_and_no_longer_than_it_may() {
    on_each_store(|store, clock| async move {
        let batching = Batching::of(3).within(2 * SECOND);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let until = clock.now() + 2 * SECOND;
        enqueue_notes(&store, 1..2).await;
        gathered(&running, 1, until).await;
        clock.advance(SECOND);
        enqueue_notes(&store, 2..3).await;
        gathered(&running, 2, until).await;
        assert!(service.is_quiet());
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [1, 2]);
        call.answer(Ok(()));
        completed(&store, 2).await;
        // One that is full does not wait.
        enqueue_notes(&store, 3..6).await;
        let call = service.next().await;
        assert_eq!(call.ids(), [3, 4, 5]);
        call.answer(Ok(()));
        completed(&store, 5).await;
        // Nor does one that is wanted now, as by a flush.
        enqueue_notes(&store, 6..7).await;
        gathered(&running, 6, clock.now() + 2 * SECOND).await;
        running.trigger();
        service.next().await.answer(Ok(()));
        completed(&store, 6).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_has_at_most_one_event_of_a_lane() {
    on_each_store(|store, _| async move {
        for id in [1, 1, 2, 1] {
            enqueue(&store, note(id).enqueue_update()).await;
        }
        let (mut service, running) = start(&store, Batching::of(10), |builder| builder);
        for ids in [&[1, 2][..], &[1], &[1]] {
            let call = service.next().await;
            assert_eq!(call.ids(), ids);
            assert!(service.is_quiet());
            call.answer(Ok(()));
        }
        delivered(&running, [1, 2]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_has_one_user_and_one_destination() {
    on_each_store(|store, _| async move {
        for (user, destination) in [("a", "eu"), ("b", "eu"), ("a", "us"), ("a", "eu")] {
            let id = i64::try_from(store.statistics(None).await.unwrap().total_events).unwrap();
            let change = note_of(user, id).enqueue_sync().destination(destination);
            enqueue(&store, change).await;
        }
        let (mut service, handlers) = Service::new(Batching::of(10));
        let processor = Processor::builder(Arc::clone(&store)).handlers(handlers);
        let running = processor.build().unwrap().start_all_users();
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let call = service.next().await;
            let event = &call.batch[0];
            let (user, destination) = (event.user_id.clone(), event.destination.clone());
            for event in call.batch.iter() {
                assert_eq!((&event.user_id, &event.destination), (&user, &destination));
            }
            seen.insert(call.ids());
            call.answer(Ok(()));
        }
        assert_eq!(seen, BTreeSet::from([vec![0, 3], vec![1], vec![2]]));
        delivered(&running, 0..4).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_is_bounded_by_the_bytes_of_its_metadata() {
    on_each_store(|store, _| async move {
        for id in 0..12 {
            let mut large = note(id);
            large.text = "x".repeat(if id == 7 { 5_000 } else { 300 });
            enqueue(&store, large.enqueue_sync()).await;
        }
        let batching = Batching::of(100).up_to_bytes(1_000);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let mut seen = Vec::new();
        while seen.len() < 12 {
            let call = service.next().await;
            let total: usize = call.batch.iter().map(|event| bytes_of(event)).sum();
            assert!(
                total <= 1_000 || call.ids() == [7],
                "{total} {:?}",
                call.ids()
            );
            seen.extend(call.ids());
            call.answer(Ok(()));
        }
        delivered(&running, 0..12).await;
        running.stop().await.unwrap();
    });
}

fn bytes_of(event: &OutboxEvent) -> usize {
    event.metadata.as_ref().unwrap().len()
}

#[test]
fn a_pause_reaches_a_batch_that_waits() {
    on_each_store(|store, clock| async move {
        let wait = SECOND * 60;
        let (mut service, running) = start(&store, Batching::of(100).within(wait), |it| it);
        let until = clock.now() + wait;
        enqueue_notes(&store, 1..3).await;
        let elsewhere = note(3).enqueue_sync().destination("eu");
        enqueue(&store, elsewhere).await;
        for id in 1..=3 {
            gathered(&running, id, until).await;
        }
        let pause = Pause::destination("eu").because("maintenance");
        store.pause(&pause).await.unwrap();
        let is_paused = async {
            while !matches!(
                running.explain(3).await.unwrap().waits_for,
                WaitsFor::Pause(_)
            ) {
                tokio::task::yield_now().await;
            }
        };
        within(is_paused).await;
        let given_back = of_entity(&store, 3).await;
        assert_eq!(
            (given_back.status, given_back.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        // The others wait as before, and are sent.
        gathered(&running, 1, until).await;
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [1, 2]);
        call.answer(Ok(()));
        completed(&store, 2).await;
        assert!(service.is_quiet());
        assert!(store.unpause(pause.scope()).await.unwrap());
        let until = clock.now() + wait;
        gathered(&running, 3, until).await;
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.ids(), [3]);
        call.answer(Ok(()));
        completed(&store, 3).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_pause_that_begins_when_a_batch_is_due_reaches_it() {
    on_each_store(|store, clock| async move {
        let wait = SECOND * 60;
        let (mut service, running) = start(&store, Batching::of(100).within(wait), |it| it);
        let until = clock.now() + wait;
        enqueue_notes(&store, 1..2).await;
        gathered(&running, 1, until).await;
        store.pause(&Pause::everything()).await.unwrap();
        clock.set(until);
        let is_paused = async {
            while !matches!(
                running.explain(1).await.unwrap().waits_for,
                WaitsFor::Pause(_)
            ) {
                tokio::task::yield_now().await;
            }
        };
        within(is_paused).await;
        assert!(service.is_quiet());
        running.stop().await.unwrap();
        assert_eq!(of_entity(&store, 1).await.attempt_count, 0);
    });
}

//! Promise 4: in order per (user, entity), whatever the priorities; a poisoned entity never stops
//! another one.

use std::time::Duration;

use outbox_runtime::store::MAX_MESSAGE_BYTES;
use outbox_runtime::{Flushed, NewEvent, OnDead, Order, WaitsFor, prelude::*};
use outbox_tests::{
    enqueue, note, note_of, on_each_store, start, start_all_users, start_with, within,
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_delete_with_a_higher_priority_does_not_overtake_its_create() {
    on_each_store(|store, _| async move {
        enqueue(&store, note(1).enqueue_sync().priority(0)).await;
        enqueue(&store, note(1).enqueue_update().priority(5)).await;
        enqueue(&store, note(1).enqueue_delete().priority(10)).await;
        let (mut remote, running) = start(&store);
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let call = remote.next().await;
            assert_eq!(call.event.operation, operation);
            assert!(remote.is_quiet(), "one at a time");
            call.ok();
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn higher_priorities_go_first_among_entities() {
    on_each_store(|store, _| async move {
        for (id, priority) in [(1, 0), (2, 5), (3, -5), (4, 10), (5, 5)] {
            enqueue(&store, note(id).enqueue_sync().priority(priority)).await;
        }
        let (mut remote, running) = start_with(&store, |builder| builder.max_concurrency(1));
        let mut order = Vec::new();
        for _ in 0..5 {
            let call = remote.next().await;
            order.push(call.id());
            call.ok();
        }
        assert_eq!(order, [4, 2, 5, 1, 3]);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_retry_holds_back_its_entity_and_no_other() {
    on_each_store(|store, clock| async move {
        enqueue(&store, note(1).enqueue_sync()).await;
        enqueue(&store, note(1).enqueue_update()).await;
        enqueue(&store, note_of("u2", 1).enqueue_sync().priority(-1)).await;
        let (mut remote, running) = start_all_users(&store, |builder| builder.max_concurrency(1));
        let call = remote.next().await;
        assert_eq!(
            (call.event.user_id.as_str(), call.event.operation),
            ("u1", Operation::Create)
        );
        call.fail(HandlerError::retry("503"));
        let call = remote.next().await;
        assert_eq!(call.event.user_id, "u2");
        call.ok();
        // The failure is the event's own, because the other one got through.
        let mut seen = store.revision();
        while store.statistics(None).await.unwrap().failed_count == 0 {
            seen = within(store.changed(seen)).await;
        }
        clock.advance(Duration::from_secs(2));
        let call = remote.next().await;
        assert_eq!(
            (call.event.operation, call.event.attempt_count),
            (Operation::Create, 2)
        );
        call.ok();
        assert_eq!(remote.next().await.event.operation, Operation::Update);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_dead_event_holds_back_its_entity_until_it_is_retried_and_no_other() {
    on_each_store(|store, _| async move {
        let first = enqueue(&store, note(1).enqueue_sync()).await;
        enqueue(&store, note(1).enqueue_update()).await;
        enqueue(&store, note(2).enqueue_sync().priority(-1)).await;
        let (mut remote, running) = start_with(&store, |builder| builder.max_concurrency(1));
        remote
            .next()
            .await
            .fail(HandlerError::permanent("400 valence out of range"));
        let call = remote.next().await;
        assert_eq!(call.id(), 2);
        call.ok();
        match running.flush(1, SOON).await.unwrap() {
            Flushed::Blocked(why) => {
                assert_eq!(why.undelivered, 2);
                assert!(
                    matches!(&why.waits_for, WaitsFor::Decision { event_id, .. } if *event_id == first.id)
                );
                assert!(
                    why.to_string().contains("400 valence out of range"),
                    "{why}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(remote.is_quiet());
        assert_eq!(store.reset_for_retry(&[first.id]).await.unwrap(), 1);
        remote.next().await.ok();
        assert_eq!(remote.next().await.event.operation, Operation::Update);
        running.stop().await.unwrap();
    });
}

/// A change of a note of `user` by a type with another order than notes.
fn ordered(user: &str, id: i64, order: Order) -> NewEvent {
    let event = note_of(user, id).enqueue_update().into_event().unwrap();
    event.with_order(order)
}

#[test]
fn events_ordered_by_user_are_delivered_one_at_a_time_and_delay_no_other_user() {
    on_each_store(|store, _| async move {
        for (user, id, priority) in [("u1", 1, 0), ("u1", 2, 9), ("u2", 3, -1), ("u1", 4, 9)] {
            let event = ordered(user, id, Order::User).with_priority(priority);
            store.create_event(event).await.unwrap();
        }
        let (mut remote, running) = start_all_users(&store, |builder| builder.max_concurrency(9));
        let (first, other) = (remote.next().await, remote.next().await);
        assert_eq!((first.id(), other.id()), (1, 3));
        assert!(remote.is_quiet(), "one at a time");
        let waits_for = running.explain(4).await.unwrap().waits_for;
        assert!(
            matches!(&waits_for, WaitsFor::Turn { event_id, .. } if *event_id == first.event.id)
        );
        assert!(waits_for.to_string().contains("of entity 1"), "{waits_for}");
        first.ok();
        for id in [2, 4] {
            let call = remote.next().await;
            assert_eq!(call.id(), id);
            assert!(remote.is_quiet(), "one at a time");
            call.ok();
        }
        other.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn unordered_events_of_one_entity_are_delivered_side_by_side() {
    on_each_store(|store, _| async move {
        for _ in 0..4 {
            let event = ordered("u1", 1, Order::None);
            store.create_event(event).await.unwrap();
        }
        let (mut remote, running) = start_with(&store, |builder| builder.max_concurrency(9));
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(remote.next().await);
        }
        calls.into_iter().for_each(outbox_tests::Call::ok);
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn events_from_before_a_change_of_order_are_delivered_first() {
    on_each_store(|store, _| async move {
        let orders = [Order::Entity, Order::User, Order::None];
        for (id, was) in (1..).zip(orders) {
            for is in orders.into_iter().filter(|is| *is != was) {
                let older = ordered("u1", id, was);
                let older = store.create_event(older).await.unwrap();
                let newer = ordered("u1", id, is).with_priority(9);
                let newer = store.create_event(newer).await.unwrap();
                let (mut remote, running) = start(&store);
                let call = remote.next().await;
                assert_eq!(call.event.id, older.id, "{was:?}, then {is:?}");
                assert!(remote.is_quiet(), "{was:?}, then {is:?}");
                call.ok();
                let call = remote.next().await;
                assert_eq!(call.event.id, newer.id, "{was:?}, then {is:?}");
                call.ok();
                assert!(running.flush(id, SOON).await.unwrap().is_delivered());
                running.stop().await.unwrap();
            }
        }
    });
}

#[test]
fn a_skipped_dead_event_holds_nothing_back_and_is_kept() {
    on_each_store(|store, _| async move {
        let skippable = note(1).enqueue_sync().into_event().unwrap();
        let first = store
            .create_event(skippable.with_on_dead(OnDead::Skip))
            .await
            .unwrap();
        enqueue(&store, note(1).enqueue_update()).await;
        let (mut remote, running) = start(&store);
        remote.next().await.fail(HandlerError::permanent("400"));
        let call = remote.next().await;
        assert_eq!(call.event.operation, Operation::Update);
        call.ok();
        // The events of the entity were not all delivered.
        match running.flush(1, SOON).await.unwrap() {
            Flushed::Blocked(why) => assert!(
                matches!(&why.waits_for, WaitsFor::Decision { event_id, .. } if *event_id == first.id)
            ),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.reset_for_retry(&[first.id]).await.unwrap(), 1);
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_error_text_is_stored_short_and_on_one_line() {
    on_each_store(|store, _| async move {
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let (mut remote, running) = start(&store);
        let text = format!("\u{1b}[31mbad\0\n{}", "ü".repeat(1_000_000));
        remote.next().await.fail(HandlerError::permanent(text));
        assert!(matches!(
            running.flush(1, SOON).await.unwrap(),
            Flushed::Blocked(_)
        ));
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        let message = stored.error_message.unwrap();
        assert!(message.len() <= MAX_MESSAGE_BYTES);
        assert!(
            message.starts_with(" [31mbad  üü") && message.ends_with('…'),
            "{message}"
        );
        running.stop().await.unwrap();
    });
}

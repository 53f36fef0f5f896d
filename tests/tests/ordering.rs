//! Promise 4: in order per (user, entity), whatever the priorities; one poisoned entity never stops another.

use std::time::Duration;

use outbox_runtime::{Flushed, MAX_MESSAGE_BYTES, Processor, WaitsFor, prelude::*};
use outbox_tests::{Remote, enqueue, note, note_of, on_each_store};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_delete_with_a_higher_priority_does_not_overtake_its_create() {
    on_each_store(|store, _| async move {
        enqueue(&store, note(1).enqueue_sync().priority(0)).await;
        enqueue(&store, note(1).enqueue_update().priority(5)).await;
        enqueue(&store, note(1).enqueue_delete().priority(10)).await;
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap();
        let running = processor.start("u1");
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
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .max_concurrency(1)
            .build()
            .unwrap();
        let running = processor.start("u1");
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
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .max_concurrency(1)
            .build()
            .unwrap();
        let running = processor.start_all_users();
        let call = remote.next().await;
        assert_eq!(
            (call.event.user_id.as_str(), call.event.operation),
            ("u1", Operation::Create)
        );
        call.fail(HandlerError::retry("503"));
        let call = remote.next().await;
        assert_eq!(call.event.user_id, "u2");
        call.ok();
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
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .max_concurrency(1)
            .build()
            .unwrap();
        let running = processor.start("u1");
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

#[test]
fn an_error_text_is_stored_short_and_on_one_line() {
    on_each_store(|store, _| async move {
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap();
        let running = processor.start("u1");
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

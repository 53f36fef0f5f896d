//! Headers on PostgreSQL: by every door, in every statement, and damaged ones.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres::Outbox;
use outbox_postgres_tests::{connect, new_schema, open_in};
use outbox_runtime::store::BatchSink;
use outbox_runtime::{
    DeadReason, EnqueueError, Enqueued, Expiry, Headers, NewEvent, Operation, OutboxRepository,
    Processor, enqueue_all,
};
use shared_tests::{Note, note};

const SOON: Duration = Duration::from_secs(30);

fn numbered(number: i64) -> Headers {
    let mut headers: Headers = [("x-number", number.to_string())].into_iter().collect();
    headers.set_sensitive("x-key", "k\u{1F980}\"");
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_take_every_door() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    let event = |id: i64| {
        let event = NewEvent::new("note", id, "u1", Operation::Create);
        match id % 3 {
            0 => event,
            _ => event.with_headers(numbered(id)),
        }
    };
    let tx = client.transaction().await.unwrap();
    let batch = BatchSink::enqueue_all(outbox.on(&tx), (1..=10).map(|id| Ok(event(id))));
    batch.await.unwrap();
    let single = note(11).enqueue_create();
    let single = single
        .header("x-number", "11")
        .sensitive_header("x-key", "k\u{1F980}\"");
    single.on(outbox.on(&tx)).await.unwrap();
    let notes = [note(13), note(14)];
    let all = enqueue_all(&notes).header("x-number", "13");
    all.on(outbox.on(&tx)).await.unwrap();
    tx.commit().await.unwrap();
    // In groups, and one that is written by itself.
    let on_store = BatchSink::enqueue_all(&store, (20..=30).map(|id| Ok(event(id))));
    on_store.await.unwrap();
    let (one, two) = tokio::join!(store.create_event(event(31)), store.create_event(event(32)));
    assert_eq!(one.unwrap().headers(), &numbered(31));
    assert_eq!(two.unwrap().headers(), &numbered(32));
    let expiring = event(34).with_expiry(Expiry::After(SOON));
    store.create_event(expiring.with_key("a")).await.unwrap();

    let waiting = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(waiting.len(), 27);
    for event in waiting {
        let id = event.entity_id.as_integer().unwrap();
        match id {
            13 | 14 => assert_eq!(event.headers().get("x-number"), Some("13")),
            id if id % 3 == 0 => assert!(event.headers().is_empty()),
            id => assert_eq!(event.headers(), &numbered(id)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_event_with_other_headers_is_a_conflict_in_a_transaction_too() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    let first = NewEvent::new("note", 1, "u1", Operation::Create).with_header("x", "1");
    store.create_event(first.clone()).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let same = BatchSink::enqueue_all(outbox.on(&tx), [Ok(first.clone())].into_iter());
    assert_eq!(same.await.unwrap(), [Enqueued::AlreadyThere(first.id())]);
    let beside = NewEvent::new("note", 2, "u1", Operation::Create);
    let other = [Ok(beside), Ok(first.with_header("x", "2"))];
    let refused = BatchSink::enqueue_all(outbox.on(&tx), other.into_iter()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, EnqueueError::InBatch { index: 1, .. }),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_damaged_headers_is_dead_alone_and_never_sent() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let client = connect().await;
    for (id, damage) in (1..).zip(["x: 7", "{\"x tenant\": \"7\"}", "{\"x\": 7}"]) {
        let enqueued = note(id).enqueue_update().on(&store).await.unwrap();
        let event_id = enqueued.event_id();
        let sql = format!("UPDATE {schema}.events SET headers = $2 WHERE id = $1");
        assert_eq!(
            client.execute(&sql, &[&event_id, &damage]).await.unwrap(),
            1
        );
        let running = Processor::builder(store.clone())
            .handle::<Note>(|event| async move {
                assert!(event.entity_id == 100.into(), "it is sent");
                Ok(())
            })
            .build()
            .unwrap()
            .start("u1");
        note(100)
            .enqueue_update()
            .header("x", "7")
            .on(&store)
            .await
            .unwrap();
        assert!(!running.flush(id, SOON).await.unwrap().is_delivered());
        assert!(running.flush(100, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let dead = store.fetch_event(event_id).await.unwrap().unwrap();
        assert_eq!(dead.dead_reason, Some(DeadReason::Undecodable));
        let message = dead.error_message.unwrap();
        assert!(message.contains("headers"), "{message}");
    }
}

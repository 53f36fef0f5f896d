//! A trace goes from the transaction that enqueues to the delivery by another process.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use opentelemetry::trace::SpanId;
use outbox_postgres::Outbox;
use outbox_postgres_tests::{connect, new_schema, open_in};
use outbox_runtime::store::BatchSink;
use outbox_runtime::{NewEvent, Operation, OutboxRepository, Processor, TraceContext, enqueue_all};
use shared_tests::traced::{Traced, text};
use shared_tests::{Note, note};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_transaction_to_the_delivery_of_another_process() {
    let traced = Traced::here();
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    let work = async {
        let tx = client.transaction().await.unwrap();
        let single = note(1).enqueue_create().on(outbox.on(&tx)).await.unwrap();
        let several = [note(2), note(3)];
        enqueue_all(&several).on(outbox.on(&tx)).await.unwrap();
        tx.commit().await.unwrap();
        // On the store, beside a producer without a trace, whose commit may be the same.
        let alone = note(5).enqueue_create().trace_context(None).on(&store);
        let (one, other) = tokio::join!(note(4).enqueue_create().on(&store), alone);
        (
            single.event_id(),
            one.unwrap().event_id(),
            other.unwrap().event_id(),
        )
    };
    let ((single, on_store, without), request) = traced.request("POST /notes", work).await;
    drop(store);

    let store = open_in(&schema).await;
    let running = Processor::builder(store.clone())
        .handle::<Note>(|_| async { Ok(()) })
        .build()
        .unwrap()
        .start("u1");
    for id in 1..=5 {
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
    }
    running.stop().await.unwrap();
    let spans = traced.of_trace(request.trace_id());
    let deliveries: Vec<_> = spans
        .iter()
        .filter(|it| it.name == "process note")
        .collect();
    assert_eq!((spans.len(), deliveries.len()), (5, 4), "{spans:#?}");
    assert!(
        deliveries
            .iter()
            .all(|it| it.parent_span_id == request.span_id())
    );
    for id in [single, on_store] {
        let named = |span: &&&_| text(span, "messaging.message.id") == Some(id.to_string());
        assert!(deliveries.iter().any(|span| named(&span)));
        let row = store.fetch_event(id).await.unwrap().unwrap();
        assert_eq!(row.trace_context, TraceContext::of_span(&request));
    }
    let [begun] = traced.attempts_at(without).try_into().unwrap();
    assert_eq!(begun.parent_span_id, SpanId::INVALID);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_the_trace_context_of_each_event() {
    let store = open_in(&new_schema()).await;
    let event = |number: i64| {
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01");
        NewEvent::new("note", number, "u1", Operation::Create)
            // The one with zeros is malformed, so that event has none.
            .with_trace_context(TraceContext::new(&parent).ok())
    };
    let events: Vec<NewEvent> = (0..40).map(event).collect();
    let batch = BatchSink::enqueue_all(&store, events.clone().into_iter().map(Ok));
    assert_eq!(batch.await.unwrap().len(), 40);
    for event in events {
        let row = store.fetch_event(event.id()).await.unwrap().unwrap();
        assert_eq!(row.trace_context(), event.trace_context());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_context_in_a_row_costs_its_event_nothing() {
    let traced = Traced::here();
    let schema = new_schema();
    let store = open_in(&schema).await;
    let client = connect().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let state = format!("{parent} no member");
    let long = format!("{parent} {}", "a=b,".repeat(100_000));
    for (id, (damage, is_readable)) in (1..).zip([
        ("garbage", false),
        ("", false),
        (
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        ),
        (state.as_str(), true),
        (long.as_str(), true),
    ]) {
        let enqueued = note(id).enqueue_update().on(&store).await.unwrap();
        let sql = format!("UPDATE {schema}.events SET trace_context = $2 WHERE id = $1");
        let event_id = enqueued.event_id();
        assert_eq!(
            client.execute(&sql, &[&event_id, &damage]).await.unwrap(),
            1
        );
        let running = Processor::builder(store.clone())
            .handle::<Note>(|_| async { Ok(()) })
            .build()
            .unwrap()
            .start("u1");
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let [attempt] = traced.attempts_at(event_id).try_into().unwrap();
        assert_eq!(attempt.parent_span_id != SpanId::INVALID, is_readable);
    }
}

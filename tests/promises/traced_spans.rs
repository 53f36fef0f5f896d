//! Spans of `tracing` beside those of OpenTelemetry.
//!
//! Alone in its program: a callsite that another thread registers at the moment in which a
//! subscriber comes may stay without it.

use std::time::Duration;

use opentelemetry::global;
use outbox_runtime::{HandlerSet, prelude::*};
use outbox_tests::traced::Traced;
use outbox_tests::{Note, enqueue, note};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

const SOON: Duration = Duration::from_secs(30);

/// Of an application that traces with `tracing`: its spans and ours are one trace.
#[tokio::test(flavor = "current_thread")]
async fn spans_of_tracing_are_part_of_the_trace() {
    let traced = Traced::here();
    let layer = tracing_opentelemetry::layer().with_tracer(global::tracer("the application"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);

    let store = MemoryStore::new();
    let request = tracing::info_span!("request");
    let change = async { enqueue(&store, note(1).enqueue_update()).await };
    let event = change.instrument(request).await;
    let handlers = HandlerSet::new().with::<Note>(|_: Event<Note>| async {
        async { Ok(()) }
            .instrument(tracing::info_span!("call"))
            .await
    });
    let worker = async {
        let running = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap()
            .start("u1");
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    };
    worker.instrument(tracing::info_span!("worker")).await;

    let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
    let spans = traced.of_trace(attempt.span_context.trace_id());
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let parents = ["call", "outbox_attempt", "process note", "request"].map(|name| {
        let span = named(name).unwrap_or_else(|| panic!("{name} is not in {spans:#?}"));
        (span.span_context.span_id(), span.parent_span_id)
    });
    for pair in parents.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{spans:#?}");
    }
    assert!(named("worker").is_none());
    assert_eq!(event.trace_context().unwrap().traceparent().len(), 55);
}

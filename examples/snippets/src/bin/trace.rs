//! A request is traced: is the delivery of its event, in another process and hours later, in the
//! same trace?
//!
//! Yes, with the feature `opentelemetry`: the row keeps the context of the span that enqueued it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "order")]
struct Order {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // In memory; an app exports its spans to a collector.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_tracer_provider(provider);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");

    let store = SqliteStore::open(&path).await?;
    let span = global::tracer("app").start("POST /orders");
    let request = Context::current_with_span(span);
    let order = Order {
        id: 7,
        user_id: "user-1".into(),
    };
    let saved = store.transaction(move |tx| Ok(order.enqueue_create().on(tx)?));
    saved.with_context(request.clone()).await?;
    request.span().end();
    store.close().await;

    // The next process.
    let store = SqliteStore::open(&path).await?;
    let running = Processor::builder(store)
        .handle::<Order>(|event| async move {
            // For a service that is called without OpenTelemetry.
            if let Some(context) = event.trace_context() {
                println!("traceparent: {}", context.traceparent());
            }
            Ok(())
        })
        .build()?
        .start("user-1");
    let flushed = running.flush(7, Duration::from_secs(5)).await?;
    ensure!(flushed.is_delivered());
    running.stop().await?;

    let spans = exporter.get_finished_spans()?;
    let delivery = spans.iter().find(|span| span.name == "process order");
    let delivery = delivery.context("the delivery has a span")?;
    let request = request.span().span_context().clone();
    println!("{}: {}", delivery.name, delivery.span_context.trace_id());
    ensure!(delivery.span_context.trace_id() == request.trace_id());
    ensure!(delivery.parent_span_id == request.span_id());
    Ok(())
}

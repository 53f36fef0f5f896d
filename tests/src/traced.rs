//! Traces of this process, as an application would export them: in memory.

use std::future::Future;
use std::sync::LazyLock;

use opentelemetry::trace::{
    FutureExt as _, Link, SpanContext, SpanKind, TraceContextExt as _, TraceId, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanData,
};
use uuid::Uuid;

/// The spans of this process that have ended and are sampled.
#[derive(Debug)]
pub struct Traced {
    exporter: InMemorySpanExporter,
}

/// Takes the sampling of a parent. Without one, takes every span but half of those whose name
/// begins with `half`.
#[derive(Debug, Clone)]
struct HalfByName;

impl ShouldSample for HalfByName {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let of_roots = match name.starts_with("half") {
            true => Sampler::TraceIdRatioBased(0.5),
            false => Sampler::AlwaysOn,
        };
        Sampler::ParentBased(Box::new(of_roots))
            .should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

impl Traced {
    /// Installs the provider of this process once.
    pub fn here() -> &'static Self {
        static HERE: LazyLock<Traced> = LazyLock::new(|| {
            let exporter = InMemorySpanExporter::default();
            let provider = SdkTracerProvider::builder()
                .with_simple_exporter(exporter.clone())
                .with_sampler(HalfByName)
                .build();
            global::set_tracer_provider(provider);
            Traced { exporter }
        });
        &HERE
    }

    /// Does some work in a root span, as a server would for a request. Returns the span, too.
    pub async fn request<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = T>,
    ) -> (T, SpanContext) {
        let tracer = global::tracer("the application");
        let span = tracer.start_with_context(name, &Context::new());
        let context = Context::new().with_span(span);
        let done = work.with_context(context.clone()).await;
        context.span().end();
        (done, context.span().span_context().clone())
    }

    /// The spans of a trace, in the order of their ends.
    pub fn of_trace(&self, trace_id: TraceId) -> Vec<SpanData> {
        self.all(|span| span.span_context.trace_id() == trace_id)
    }

    /// The spans of an event's attempts, in the order of their ends.
    pub fn attempts_at(&self, event_id: Uuid) -> Vec<SpanData> {
        self.all(|span| {
            text(span, "messaging.message.id").is_some_and(|id| id == event_id.to_string())
        })
    }

    fn all(&self, which: impl Fn(&SpanData) -> bool) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.retain(which);
        spans
    }
}

/// The value of an attribute of a span.
pub fn text(span: &SpanData, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|one| one.key.as_str() == key);
    attribute.map(|one| one.value.to_string())
}

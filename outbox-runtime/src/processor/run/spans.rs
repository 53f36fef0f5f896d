//! Spans: each attempt runs in one, so that what its handler logs and traces belongs to it.
//!
//! The span of `tracing` is a root: an attempt belongs to its event, and not to what the run itself
//! runs in. With the feature `opentelemetry` it is below a span of OpenTelemetry, which continues
//! the trace that enqueued the event. That one is made with the API of OpenTelemetry, and current
//! while the handler is polled, so it is the parent of spans of either kind.
//!
//! The tracer is taken when a run starts: one taken before the application has set its provider
//! would record nothing.

use std::future::Future;

use tracing::{Instrument as _, info_span};

use crate::event::OutboxEvent;

#[cfg(feature = "opentelemetry")]
pub(super) use self::on::Spans;

#[cfg(not(feature = "opentelemetry"))]
pub(super) use self::off::Spans;

/// Runs an attempt in its span of `tracing`. It is made when the attempt is first polled: in the
/// attempt's task, no other span of `tracing` is current, but one of OpenTelemetry may be.
async fn logged<F: Future>(event: &OutboxEvent, attempt: F) -> F::Output {
    let span = info_span!(
        "outbox_attempt",
        event_id = %event.id,
        event_type = ?event.event_type,
        attempt = event.attempt_count,
    );
    attempt.instrument(span).await
}

/// Runs the attempt of a batch in its span of `tracing`, which is made as that of a single event.
async fn logged_batch<F: Future>(event_type: &str, events: usize, attempt: F) -> F::Output {
    let span = info_span!("outbox_batch", event_type = ?event_type, events);
    attempt.instrument(span).await
}

#[cfg(feature = "opentelemetry")]
mod on {
    use std::future::Future;
    use std::sync::Arc;
    use std::time::Duration;

    use opentelemetry::global::{self, BoxedTracer};
    use opentelemetry::trace::{
        FutureExt as _, Link, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
    };
    use opentelemetry::{Context, InstrumentationScope, KeyValue};

    use crate::claim::Claim;
    use crate::event::{DeadReason, OutboxEvent, RefusalClass};
    use crate::handler::Delivery;
    use crate::processor::attempt::Ended;
    use crate::processor::batch_attempt::BatchEnded;
    use crate::processor::evidence::Facts;
    use crate::trace::TraceContext;
    use crate::trace::conventions as name;

    /// The maximum number of links of a span, as the specification of OpenTelemetry has it.
    const MOST_LINKS: usize = 128;

    /// The spans of a run's attempts.
    pub(in crate::processor::run) struct Spans {
        tracer: Arc<BoxedTracer>,
        /// Whether an attempt has a trace of its own.
        links: bool,
    }

    impl Spans {
        pub(in crate::processor::run) fn new(links: bool) -> Self {
            let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .with_schema_url(name::SCHEMA_URL)
                .build();
            Self {
                tracer: Arc::new(global::tracer_with_scope(scope)),
                links,
            }
        }

        /// Runs an attempt of the claimed event in its span.
        pub(in crate::processor::run) fn around<F>(
            &self,
            claim: &Arc<Claim>,
            attempt: F,
        ) -> impl Future<Output = (Ended, Duration)> + Send + use<F>
        where
            F: Future<Output = (Ended, Duration)> + Send,
        {
            let (tracer, links, claim) = (Arc::clone(&self.tracer), self.links, Arc::clone(claim));
            async move {
                let event = &claim.event;
                let span = AttemptSpan::start(&tracer, links, event);
                let logged = super::logged(event, attempt);
                let answer = logged.with_context(span.context.clone()).await;
                span.end(&answer.0);
                answer
            }
        }

        /// Runs the attempt of a batch in its span.
        pub(in crate::processor::run) fn around_batch<F>(
            &self,
            facts: &Facts,
            attempt: F,
        ) -> impl Future<Output = (BatchEnded, Duration)> + Send + use<F>
        where
            F: Future<Output = (BatchEnded, Duration)> + Send,
        {
            let (tracer, links) = (Arc::clone(&self.tracer), self.links);
            let claims: Vec<Arc<Claim>> = facts.members().cloned().collect();
            let event_type = facts.claim.event.event_type.clone();
            async move {
                let span = match &*claims {
                    [claim] => AttemptSpan::start(&tracer, links, &claim.event),
                    claims => AttemptSpan::start_batch(&tracer, &event_type, claims),
                };
                let logged = super::logged_batch(&event_type, claims.len(), attempt);
                let answer = logged.with_context(span.context.clone()).await;
                span.end_batch(&answer.0);
                answer
            }
        }
    }

    /// The span of an attempt. One that is dropped before its end was aborted.
    struct AttemptSpan {
        context: Context,
        has_ended: bool,
    }

    impl AttemptSpan {
        fn start(tracer: &BoxedTracer, links: bool, event: &OutboxEvent) -> Self {
            let origin = event.trace_context().map(TraceContext::to_span_context);
            let event_type = &event.event_type;
            // Never the user, the entity or the payload.
            let mut attributes = vec![
                KeyValue::new(name::SYSTEM, name::OUTBOX),
                KeyValue::new(name::OPERATION_NAME, name::PROCESS),
                KeyValue::new(name::OPERATION_TYPE, name::PROCESS),
                KeyValue::new(name::DESTINATION_NAME, event_type.clone()),
                KeyValue::new(name::MESSAGE_ID, event.id.to_string()),
                KeyValue::new(name::CHANGE, event.operation.as_str()),
                KeyValue::new(name::ATTEMPT, i64::from(event.attempt_count)),
            ];
            if let Some(destination) = &event.destination {
                attributes.push(KeyValue::new(name::DESTINATION, destination.clone()));
            }
            let span = SpanBuilder::from_name(format!("{} {event_type}", name::PROCESS))
                .with_kind(SpanKind::Consumer)
                .with_attributes(attributes);
            let (parent, span) = match origin {
                Some(origin) if links => {
                    let link = Link::with_context(origin);
                    (Context::new(), span.with_links(vec![link]))
                }
                Some(origin) => (Context::new().with_remote_span_context(origin), span),
                None => (Context::new(), span),
            };
            let span = tracer.build_with_context(span, &parent);
            Self {
                context: parent.with_span(span),
                has_ended: false,
            }
        }

        /// The span of several events, none of which is its parent: it has links to the spans that
        /// enqueued them.
        fn start_batch(tracer: &BoxedTracer, event_type: &str, claims: &[Arc<Claim>]) -> Self {
            let mut attributes = vec![
                KeyValue::new(name::SYSTEM, name::OUTBOX),
                KeyValue::new(name::OPERATION_NAME, name::PROCESS),
                KeyValue::new(name::OPERATION_TYPE, name::PROCESS),
                KeyValue::new(name::DESTINATION_NAME, event_type.to_owned()),
                KeyValue::new(
                    name::BATCH_COUNT,
                    i64::try_from(claims.len()).unwrap_or(i64::MAX),
                ),
            ];
            let first = claims.first().map(|claim| &claim.event);
            if let Some(destination) = first.and_then(|event| event.destination.as_ref()) {
                attributes.push(KeyValue::new(name::DESTINATION, destination.clone()));
            }
            let origins = claims
                .iter()
                .filter_map(|claim| claim.event.trace_context());
            let links = origins.take(MOST_LINKS);
            let links = links.map(|origin| Link::with_context(origin.to_span_context()));
            let span = SpanBuilder::from_name(format!("{} {event_type}", name::PROCESS))
                .with_kind(SpanKind::Consumer)
                .with_attributes(attributes)
                .with_links(links.collect());
            let parent = Context::new();
            let span = tracer.build_with_context(span, &parent);
            Self {
                context: parent.with_span(span),
                has_ended: false,
            }
        }

        /// The span of a batch failed if none of its events got through.
        fn end_batch(mut self, ended: &BatchEnded) {
            self.has_ended = true;
            let own = || ended.own.iter().flatten();
            let has_passed = own().any(Ended::is_pass);
            let failed = own().find_map(failure);
            self.close(failure(&ended.common).or(failed).filter(|_| !has_passed));
        }

        fn end(mut self, ended: &Ended) {
            self.has_ended = true;
            self.close(failure(ended));
        }

        fn close(&self, failure: Option<&'static str>) {
            let span = self.context.span();
            if let Some(class) = failure {
                span.set_attribute(KeyValue::new(name::ERROR_TYPE, class));
                span.set_status(Status::error(class));
            }
            span.end();
        }
    }

    impl Drop for AttemptSpan {
        fn drop(&mut self) {
            if !self.has_ended {
                self.close(Some("aborted"));
            }
        }
    }

    /// The class of a failure. The message of a handler stays out of traces.
    fn failure(ended: &Ended) -> Option<&'static str> {
        let delivery = match ended {
            Ended::Delivered => return None,
            Ended::TimedOut(_) => return Some(RefusalClass::Timeout.as_str()),
            Ended::Panicked(_) => return Some(RefusalClass::Panic.as_str()),
            Ended::Failed { delivery, .. } => delivery,
        };
        match delivery {
            // The handler is content; the event is delivered, or wanted later.
            Delivery::Obsolete | Delivery::Snooze { .. } => None,
            Delivery::Retry { .. } => Some(RefusalClass::Retry.as_str()),
            Delivery::Permanent => Some(RefusalClass::Rejected.as_str()),
            Delivery::Undecodable => Some(DeadReason::Undecodable.as_str()),
            Delivery::Unavailable { .. } => Some(RefusalClass::Unavailable.as_str()),
            Delivery::Offline => Some(RefusalClass::Offline.as_str()),
            Delivery::Unauthenticated => Some(RefusalClass::Unauthenticated.as_str()),
            Delivery::RateLimited { .. } => Some(RefusalClass::RateLimited.as_str()),
            Delivery::NoHandler => Some("no_handler"),
        }
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod off {
    use std::future::Future;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::claim::Claim;
    use crate::processor::attempt::Ended;
    use crate::processor::batch_attempt::BatchEnded;
    use crate::processor::evidence::Facts;

    /// The spans of a run's attempts, of `tracing` alone.
    pub(in crate::processor::run) struct Spans;

    #[allow(clippy::unused_self, reason = "the methods of the other one")]
    impl Spans {
        pub(in crate::processor::run) fn new(_links: bool) -> Self {
            Self
        }

        pub(in crate::processor::run) fn around<F>(
            &self,
            claim: &Arc<Claim>,
            attempt: F,
        ) -> impl Future<Output = (Ended, Duration)> + Send + use<F>
        where
            F: Future<Output = (Ended, Duration)> + Send,
        {
            let claim = Arc::clone(claim);
            async move { super::logged(&claim.event, attempt).await }
        }

        pub(in crate::processor::run) fn around_batch<F>(
            &self,
            facts: &Facts,
            attempt: F,
        ) -> impl Future<Output = (BatchEnded, Duration)> + Send + use<F>
        where
            F: Future<Output = (BatchEnded, Duration)> + Send,
        {
            let event_type = facts.claim.event.event_type.clone();
            let events = facts.members().count();
            async move { super::logged_batch(&event_type, events, attempt).await }
        }
    }
}

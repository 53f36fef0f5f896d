//! To and from the contexts of OpenTelemetry.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

use super::TraceContext;

impl TraceContext {
    /// The context of the current span of OpenTelemetry, if there is one, sampled or not.
    ///
    /// It is that of the thread: in `spawn_blocking`, in a spawned task or on a thread of one's own
    /// there is none. Take it before, and give it to
    /// [`Enqueue::trace_context`](crate::Enqueue::trace_context) there.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use outbox_runtime::prelude::*;
    /// # use outbox_runtime::{TraceContext, rusqlite};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # async fn save(mut conn: rusqlite::Connection, goal: Goal) {
    /// let context = TraceContext::current();
    /// tokio::task::spawn_blocking(move || {
    ///     let tx = conn.transaction()?;
    ///     goal.enqueue_update().trace_context(context).on(&tx)?;
    ///     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(tx.commit()?)
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::map_current(|context| {
            if !context.has_active_span() {
                return None;
            }
            Self::of_span(context.span().span_context())
        })
    }

    /// Takes the ids, the flags and the state of a span; `None` if its ids are not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use opentelemetry::trace::SpanContext;
    /// use outbox_runtime::TraceContext;
    ///
    /// assert_eq!(TraceContext::of_span(&SpanContext::empty_context()), None);
    /// ```
    #[must_use]
    pub fn of_span(span: &SpanContext) -> Option<Self> {
        if !span.is_valid() {
            return None;
        }
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        let flags = span.trace_flags().to_u8();
        let context = Self::new(&format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}")).ok()?;
        let state = span.trace_state().header();
        if state.is_empty() {
            return Some(context);
        }
        // The state helps its vendor only; the trace goes on without it.
        Some(context.clone().with_tracestate(&state).unwrap_or(context))
    }

    /// The context as that of a span in another process, to start spans below it or with a link to
    /// it.
    ///
    /// # Examples
    ///
    /// ```
    /// use opentelemetry::Context;
    /// use opentelemetry::trace::TraceContextExt as _;
    /// use outbox_runtime::TraceContext;
    ///
    /// let context = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
    /// let parent = Context::new().with_remote_span_context(context.to_span_context());
    /// assert!(parent.span().span_context().is_remote());
    /// # Ok::<(), outbox_runtime::TraceContextError>(())
    /// ```
    #[must_use]
    pub fn to_span_context(&self) -> SpanContext {
        let traceparent = self.traceparent();
        let part = |from: usize, to: usize| traceparent.get(from..to).unwrap_or_default();
        let state = self.tracestate().unwrap_or_default();
        SpanContext::new(
            TraceId::from_hex(part(3, 35)).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(part(36, 52)).unwrap_or(SpanId::INVALID),
            TraceFlags::new(super::grammar::flags(traceparent)),
            true,
            state.parse::<TraceState>().unwrap_or_default(),
        )
    }
}

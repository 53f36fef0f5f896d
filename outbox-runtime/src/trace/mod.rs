//! The trace context: which span of which trace enqueued an event.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

#[cfg(feature = "sqlite")]
mod carried; // the current span on another thread
#[cfg(feature = "opentelemetry")]
pub(crate) mod conventions; // names of attributes
mod grammar; // the syntax of the two headers
#[cfg(feature = "opentelemetry")]
mod telemetry; // to and from OpenTelemetry

#[cfg(feature = "sqlite")]
pub(crate) use self::carried::Carried;

/// The trace context of an event: which span of which trace enqueued it, as the headers
/// `traceparent` and `tracestate` of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
///
/// It is kept in the event's row, so that a trace goes from the request that enqueued the event to
/// its delivery, across processes and restarts. It is no content: the same event with another
/// context is still the same event. Baggage is never stored.
///
/// With the feature `opentelemetry`, enqueueing takes the context of the current span. Without it,
/// or where no span is current, [`Enqueue::trace_context`](crate::Enqueue::trace_context) sets it.
/// A handler finds it in [`OutboxEvent::trace_context`](crate::OutboxEvent::trace_context), to
/// pass it on.
///
/// The guide: [traces](https://docs.rs/outbox-guide/latest/outbox_guide/traces/).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// use outbox_runtime::TraceContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let goal = Goal { id: 7, user_id: "user-1".into() };
/// // The headers of the request that saves the goal.
/// let context = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?
///     .with_tracestate("vendor=t61rcWkgMzE")?;
/// goal.enqueue_create().trace_context(context).on(&store).await?;
///
/// Processor::builder(store).handle::<Goal>(|event| async move {
///     if let Some(context) = event.trace_context() {
///         println!("traceparent: {}", context.traceparent());
///     }
///     Ok(())
/// });
/// # Ok(())
/// # }
/// ```
///
/// The parts of a context:
///
/// ```
/// use outbox_runtime::TraceContext;
///
/// let context = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?
///     .with_tracestate("vendor=t61rcWkgMzE")?;
/// assert!(context.is_sampled());
/// assert_eq!(context.tracestate(), Some("vendor=t61rcWkgMzE"));
///
/// // As another program reads it from the row.
/// assert_eq!(TraceContext::from_stored(context.as_stored()), Some(context));
/// # Ok::<(), outbox_runtime::TraceContextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The traceparent, and after a space the tracestate unless it is empty.
    stored: Box<str>,
}

/// The context of the current span. Without the feature `opentelemetry`, none.
pub(crate) fn current() -> Option<TraceContext> {
    #[cfg(feature = "opentelemetry")]
    return TraceContext::current();
    #[cfg(not(feature = "opentelemetry"))]
    None
}

impl TraceContext {
    /// The length of a traceparent, in bytes.
    pub const TRACEPARENT_BYTES: usize = grammar::TRACEPARENT_BYTES;
    /// The maximum length of a tracestate, in bytes.
    pub const MAX_TRACESTATE_BYTES: usize = grammar::MAX_TRACESTATE_BYTES;

    /// Takes a `traceparent`. One of a later version than `00` becomes one of version `00`, as the
    /// specification asks for.
    ///
    /// # Errors
    ///
    /// [`TraceContextError::Traceparent`] if it is malformed.
    pub fn new(traceparent: &str) -> Result<Self, TraceContextError> {
        let stored = grammar::traceparent(traceparent.trim_matches([' ', '\t']));
        let stored = stored.map_err(|reason| TraceContextError::Traceparent { reason })?;
        Ok(Self {
            stored: stored.into(),
        })
    }

    /// Adds a `tracestate`, or replaces it. An empty one is none.
    ///
    /// # Errors
    ///
    /// [`TraceContextError::Tracestate`] if it is malformed, or longer than
    /// [`MAX_TRACESTATE_BYTES`](Self::MAX_TRACESTATE_BYTES). A program that only passes a context
    /// on may go without a tracestate that it cannot read.
    pub fn with_tracestate(self, tracestate: &str) -> Result<Self, TraceContextError> {
        let tracestate = tracestate.trim_matches([' ', '\t']);
        let is_empty = grammar::tracestate(tracestate)
            .map_err(|reason| TraceContextError::Tracestate { reason })?;
        let traceparent = self.traceparent();
        let stored = match is_empty {
            true => traceparent.into(),
            false => format!("{traceparent} {tracestate}").into(),
        };
        Ok(Self { stored })
    }

    /// The `traceparent`: 55 bytes of version `00`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        let stored = &*self.stored;
        stored
            .split_once(' ')
            .map_or(stored, |(traceparent, _)| traceparent)
    }

    /// The `tracestate`, if it is not empty.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.stored
            .split_once(' ')
            .map(|(_, tracestate)| tracestate)
    }

    /// Whether the trace is recorded, as far as the enqueueing program knew.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        grammar::flags(self.traceparent()) & 1 == 1
    }

    /// The form in which stores keep it in one column: the traceparent, and after a space the
    /// tracestate, if any.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.stored
    }

    /// Reads the stored form. A malformed tracestate is left out; a malformed traceparent, which
    /// another program may have written, is `None`: the context must never cost its event.
    #[must_use]
    pub fn from_stored(stored: &str) -> Option<Self> {
        let (traceparent, tracestate) = match stored.split_once(' ') {
            Some((traceparent, tracestate)) => (traceparent, Some(tracestate)),
            None => (stored, None),
        };
        let context = Self::new(traceparent).ok()?;
        let Some(tracestate) = tracestate else {
            return Some(context);
        };
        Some(
            context
                .clone()
                .with_tracestate(tracestate)
                .unwrap_or(context),
        )
    }
}

/// Reads a traceparent.
impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(traceparent: &str) -> Result<Self, Self::Err> {
        Self::new(traceparent)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({})", self.stored)
    }
}

/// A header of a trace context is malformed.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{TraceContext, TraceContextError};
///
/// let error = TraceContext::new("00-none").err();
/// assert!(matches!(error, Some(TraceContextError::Traceparent { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceContextError {
    /// The `traceparent` is malformed.
    #[error("the traceparent {reason}")]
    Traceparent {
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The `tracestate` is malformed.
    #[error("the tracestate {reason}")]
    Tracestate {
        /// The rule that it breaks.
        reason: &'static str,
    },
}

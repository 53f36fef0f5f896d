//! One attempt: runs a handler with a deadline, and reports how it ended.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::claim::Claim;
use crate::clock::{Clock, Stopwatch};
use crate::event::OutboxEvent;
use crate::handler::{Delivery, HandlerError, OutboxEventHandler, Scope};
use crate::metadata::RawMetadata;
use crate::redaction::{REDACTED, Redaction};

/// How an attempt ended, as reported by its task.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Delivered,
    /// The handler returned an error.
    Failed {
        delivery: Delivery,
        scope: Scope,
        message: String,
    },
    TimedOut(Duration),
    Panicked(String),
}

/// Runs the handler until it answers or its time is up. Also returns how long that took: by a
/// stopwatch, or by the clock if that shows more time, as a virtual clock does.
pub(super) async fn run(
    handler: Arc<dyn OutboxEventHandler>,
    claim: Arc<Claim>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
) -> (Ended, Duration) {
    let answer = async { (*handler).handle(&claim.event).await };
    let (ended, took) = answered(answer, timeout, &*clock).await;
    (ended.redacted(&handler, &claim).await, took)
}

/// Awaits the answer of a handler, until its time is up, and how long that took.
pub(super) async fn answered(
    answer: impl Future<Output = Result<(), HandlerError>>,
    timeout: Duration,
    clock: &dyn Clock,
) -> (Ended, Duration) {
    let stopwatch = Stopwatch::start();
    let began_at = clock.now();
    let attempt = async {
        match answer.await {
            Ok(()) => Ended::Delivered,
            // The error's `Display` and `Drop` are application code, so they run within the
            // attempt.
            Err(error) => Ended::failed(&error),
        }
    };
    let in_time = async {
        tokio::select! {
            // An answer that exists counts, even if it is polled late.
            biased;
            ended = caught(attempt) => ended,
            () = clock.sleep(timeout) => Ended::TimedOut(timeout),
        }
    };
    // Dropping the handler's future at its deadline may panic.
    let ended = caught(in_time).await;
    // If the clock was set meanwhile, the timeout bounds the time that it shows.
    let by_clock = (clock.now() - began_at).to_std().unwrap_or_default();
    let took = stopwatch.elapsed().max(by_clock.min(timeout));
    (ended, took)
}

/// Small enough to search within a fraction of a millisecond.
pub(super) const SMALL_BYTES: usize = 16 * 1024;

/// Redacts a failure's text, so that it can be stored and logged.
///
/// This runs application code: a panic there must neither end the run nor let the text through.
pub(super) fn redact(
    handler: &dyn OutboxEventHandler,
    event: &OutboxEvent,
    text: String,
) -> String {
    let text = without_headers(event, text);
    let redacted = catch_unwind(AssertUnwindSafe(|| handler.redact(event, text)));
    redacted.unwrap_or_else(|payload| {
        forget(payload);
        REDACTED.to_owned()
    })
}

/// Removes the values of sensitive headers, whatever the handler.
fn without_headers(event: &OutboxEvent, text: String) -> String {
    let mut sensitive = event.headers().sensitive_values().peekable();
    if sensitive.peek().is_none() {
        return text;
    }
    let mut redaction = Redaction::default();
    sensitive.for_each(|value| redaction.hide(value));
    redaction.apply(text)
}

/// Drops the payload of a panic, which may panic once more.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // This could repeat forever, so leak the payload.
        std::mem::forget(another);
    }
}

/// Turns a panic into an [`Ended`]. The payload is dropped here, because that may panic once more.
async fn caught(attempt: impl Future<Output = Ended>) -> Ended {
    let mut attempt = pin!(attempt);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| Poll::Ready(Ended::panicked(payload)))
    })
    .await
}

impl Ended {
    /// From the error of a handler, whose `Display` is application code.
    pub(super) fn failed(error: &HandlerError) -> Self {
        Self::Failed {
            delivery: error.delivery(),
            scope: error.scope().clone(),
            message: error.to_string(),
        }
    }

    /// From the payload of a panic.
    pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self::Panicked(panic_text(payload))
    }

    /// Redacts the sensitive parts of the text.
    ///
    /// This runs in the attempt's own task because its cost grows with the size of the event: the
    /// run's loop, which renews the leases, must not wait for it. A large event is searched on a
    /// blocking thread.
    async fn redacted(self, handler: &Arc<dyn OutboxEventHandler>, claim: &Arc<Claim>) -> Self {
        let text = match &self {
            Self::Delivered | Self::TimedOut(_) => return self,
            Self::Failed { message, .. } | Self::Panicked(message) => message,
        };
        let metadata = claim.event.metadata.as_ref();
        let bytes = text.len() + metadata.map_or(0, RawMetadata::len);
        if bytes <= SMALL_BYTES {
            return self.map_text(|text| redact(&**handler, &claim.event, text));
        }
        let (handler, claim) = (Arc::clone(handler), Arc::clone(claim));
        let (fate, text) = self.split_text();
        let searched = tokio::task::spawn_blocking(move || redact(&*handler, &claim.event, text));
        // The search cannot panic; it is canceled only when the runtime shuts down.
        let text = searched.await.unwrap_or_else(|_| REDACTED.to_owned());
        fate.map_text(|_| text)
    }

    pub(super) fn map_text(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed {
                delivery,
                scope,
                message,
            } => Self::Failed {
                delivery,
                scope,
                message: change(message),
            },
            Self::Panicked(text) => Self::Panicked(change(text)),
            Self::Delivered | Self::TimedOut(_) => self,
        }
    }

    /// Whether it has a text of the application's.
    pub(super) fn has_text(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Panicked(_))
    }

    /// The length of its text, in bytes.
    pub(super) fn text_len(&self) -> usize {
        match self {
            Self::Failed { message, .. } | Self::Panicked(message) => message.len(),
            Self::Delivered | Self::TimedOut(_) => 0,
        }
    }

    /// Splits off the text.
    fn split_text(self) -> (Self, String) {
        let mut taken = String::new();
        let rest = self.map_text(|text| {
            taken = text;
            String::new()
        });
        (rest, taken)
    }

    /// Whether the handler answered `Ok`.
    pub(super) fn is_ok(&self) -> bool {
        matches!(self, Self::Delivered)
    }

    /// Whether the cause may be the event or the world.
    pub(super) fn is_doubtful(&self) -> bool {
        match self {
            Self::Delivered => false,
            Self::TimedOut(_) | Self::Panicked(_) => true,
            Self::Failed { delivery, .. } => matches!(
                delivery,
                Delivery::Retry { .. } | Delivery::Unavailable { .. } | Delivery::Offline
            ),
        }
    }

    /// Whether the service has the event or no longer needs it.
    pub(super) fn is_pass(&self) -> bool {
        matches!(
            self,
            Self::Delivered
                | Self::Failed {
                    delivery: Delivery::Obsolete,
                    ..
                }
        )
    }
}

/// The message of a panic, whose payload is usually a string.
pub(super) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("(a panic without a message)").to_owned();
    forget(payload);
    text
}

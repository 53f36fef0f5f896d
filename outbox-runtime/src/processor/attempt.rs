//! One attempt: a handler with a deadline, and what its end means.

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
use crate::handler::{Delivery, OutboxEventHandler, Scope};
use crate::metadata::RawMetadata;
use crate::redaction::REDACTED;

/// How an attempt ended, as its task tells it.
#[derive(Debug)]
pub(super) enum Ended {
    Delivered,
    /// What the handler answered.
    Failed {
        delivery: Delivery,
        scope: Scope,
        message: String,
    },
    TimedOut(Duration),
    Panicked(String),
}

/// Runs the handler until it answers or its time is up. Tells how long that took, too: by a
/// stopwatch, or by the clock where that says more, as it does where time is virtual.
pub(super) async fn run(
    handler: Arc<dyn OutboxEventHandler>,
    claim: Arc<Claim>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
) -> (Ended, Duration) {
    let stopwatch = Stopwatch::start();
    let began_at = clock.now();
    let attempt = async {
        match (*handler).handle(&claim.event).await {
            Ok(()) => Ended::Delivered,
            // Its text and its end are the application's code, so they are part of the attempt.
            Err(error) => Ended::Failed {
                delivery: error.delivery(),
                scope: error.scope().clone(),
                message: error.to_string(),
            },
        }
    };
    let in_time = async {
        tokio::select! {
            // An answer that is there counts, however late it was looked at.
            biased;
            ended = caught(attempt) => ended,
            () = clock.sleep(timeout) => Ended::TimedOut(timeout),
        }
    };
    // What a handler leaves behind at its deadline may panic when it is dropped.
    let ended = caught(in_time).await;
    // Should the clock have been set meanwhile, no more than it may have taken.
    let by_clock = (clock.now() - began_at).to_std().unwrap_or_default();
    let took = stopwatch.elapsed().max(by_clock.min(timeout));
    (ended.redacted(&handler, &claim).await, took)
}

/// A failure's text as it may be stored and logged.
///
/// It runs code of the application, whose panic must not end the run and must not let the text through.
fn redact(handler: &dyn OutboxEventHandler, event: &OutboxEvent, text: String) -> String {
    let redacted = catch_unwind(AssertUnwindSafe(|| handler.redact(event, text)));
    redacted.unwrap_or_else(|payload| {
        forget(payload);
        REDACTED.to_owned()
    })
}

/// Drops what a panic carried, which may panic once more.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // There is no end to this but to leave it where it is.
        std::mem::forget(another);
    }
}

/// A panic is an end like others. What it carries stays here: it may panic once more when it is dropped.
async fn caught(attempt: impl Future<Output = Ended>) -> Ended {
    let mut attempt = pin!(attempt);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| Poll::Ready(Ended::panicked(payload)))
    })
    .await
}

impl Ended {
    /// From what a panic carried.
    pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self::Panicked(panic_text(payload))
    }

    /// The same end, whose text shows nothing that is sensitive.
    ///
    /// This is done here, in the attempt's own task, because it takes as long as the event is large: the run's loop, which
    /// renews the leases, must not wait for it. A large event is searched on a thread that may block.
    async fn redacted(self, handler: &Arc<dyn OutboxEventHandler>, claim: &Arc<Claim>) -> Self {
        /// What is searched within a fraction of a millisecond.
        const SMALL_BYTES: usize = 16 * 1024;
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
        // It cannot panic; it is canceled only where the runtime ends.
        let text = searched.await.unwrap_or_else(|_| REDACTED.to_owned());
        fate.map_text(|_| text)
    }

    fn map_text(self, change: impl FnOnce(String) -> String) -> Self {
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

    /// The text, and the same end without it.
    fn split_text(self) -> (Self, String) {
        let mut taken = String::new();
        let rest = self.map_text(|text| {
            taken = text;
            String::new()
        });
        (rest, taken)
    }

    /// Whether the service has the event, or has no need of it.
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

/// What a panic carried as a text, usually a string.
pub(super) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("(a panic without a message)").to_owned();
    forget(payload);
    text
}
